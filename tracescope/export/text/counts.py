def stack(b, number, pid=None):
    """The lines of a stack, the innermost first."""
    if number < 0:
        return [f"(no stack: {number})"]
    frames = b["stacks"].walk(number)
    if pid is None:
        return [quoted(b.ksym(frame, show_offset=True))[1:-1] for frame in frames]
    return [quoted(b.sym(frame, pid, show_offset=True))[1:-1] for frame in frames]


def bucket(number):
    if number < 2:
        return "[0]" if number else "[below 0]"
    return f"[{1 << number - 2}, {2 << number - 2})"


def print_counts(b):
    """What was counted, the most first; the buckets of one histogram together, in their order."""
    rows = [(ct.string_at(ct.addressof(key), ct.sizeof(key)), key, leaf.value) for key, leaf in b["counts"].items()]
    if HISTOGRAM:
        rows.sort(key=lambda row: (row[0][:4], row[0][8:], row[1].bucket))
    else:
        rows.sort(key=lambda row: -row[2])
    for _, key, count in rows:
        words = [f"{count:12}  {PROBES[key.probe]}"]
        for member, title, form in KEYS:
            value = getattr(key, member)
            if form == "kstack":
                words.append("\n\t\t".join([f"{title}=", *stack(b, value)]))
            elif form == "ustack":
                pid = getattr(key, f"{member}_pid")
                words.append("\n\t\t".join([f"{title}=(process {pid})", *stack(b, value, pid)]))
            else:
                words.append(f"{title}={shown(form, value)}")
        if HISTOGRAM:
            words.append(bucket(key.bucket))
        print(" ".join(words), flush=True)
    return sum(count for *_, count in rows)


def run(b, options):
    attach(b)
    print("tracing; Ctrl-C ends it", file=sys.stderr, flush=True)
    try:
        time.sleep(options.duration or 1 << 30)
    except KeyboardInterrupt:
        pass
    total = print_counts(b)
    print(f"{total} events, {b['lost'][0].value} lost", file=sys.stderr)
