shown_events = 0
# The wall clock at CLOCK_MONOTONIC 0.
started_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def print_event(_cpu, data, size):
    global shown_events
    head = ct.cast(data, ct.POINTER(Head)).contents
    if head.probe not in EVENTS:
        return
    layout, probe, columns = EVENTS[head.probe]
    if size < ct.sizeof(layout) or (limit and shown_events >= limit):
        return
    event = ct.cast(data, ct.POINTER(layout)).contents
    seconds, nanoseconds = divmod(started_ns + head.time_ns, 1_000_000_000)
    when = time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{nanoseconds // 1000:06}"
    words = [f"{when} {head.pid:<7} {head.tid:<7} {head.ppid:<7} {quoted(head.comm)} {probe}"]
    for bit, (member, title, form) in enumerate(columns):
        unread = head.unread >> min(bit, 31) & 1
        words.append(f"{title}={'?' if unread else shown(form, getattr(event, member))}")
    print(" ".join(words), flush=True)
    shown_events += 1


limit = 0


def run(b, options):
    global limit
    limit = options.count or 0
    b["events"].open_ring_buffer(print_event)
    print("@TITLE@", flush=True)
    attach(b)
    print("tracing; Ctrl-C ends it", file=sys.stderr, flush=True)
    end = time.monotonic() + options.duration if options.duration else None
    try:
        while not (end and time.monotonic() >= end) and not (limit and shown_events >= limit):
            b.ring_buffer_poll(100)
    except KeyboardInterrupt:
        pass
    b.ring_buffer_consume()
    print(f"{shown_events} events, {b['lost'][0].value} lost", file=sys.stderr)
