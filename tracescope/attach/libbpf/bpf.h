/* What our programs need of the kernel, so that clang alone compiles them: integer names, maps, helpers by their number.

   Numbers: include/uapi/linux/bpf.h (`enum bpf_map_type`, `___BPF_FUNC_MAPPER`). The macros are named as BCC names
   them: one text serves both. */

typedef signed char s8;
typedef unsigned char u8;
typedef short s16;
typedef unsigned short u16;
typedef int s32;
typedef unsigned int u32;
typedef long long s64;
typedef unsigned long long u64;
typedef _Bool bool;

#define NULL ((void *)0)
#define SEC(name) __attribute__((section(name), used))
/* The verifier checks a function that is not inlined on its own, without what its callers know. */
#define inline inline __attribute__((always_inline))

#define BPF_NOEXIST 1
#define BPF_RB_NO_WAKEUP 1
#define BPF_F_USER_STACK 256
#define BPF_F_CURRENT_CPU 0xffffffffULL

char LICENSE[] SEC("license") = "GPL";

/* Maps: libbpf reads the sizes out of the types, in the object's BTF. */
#define MAP(kind, name, key_type, value_type, entries) \
    struct {                                           \
        int (*type)[kind];                             \
        key_type *key;                                 \
        value_type *value;                             \
        int (*max_entries)[entries];                   \
    } ts_##name SEC(".maps")
#define BPF_HASH(name, key, value, entries) MAP(1, name, key, value, entries)
#define BPF_ARRAY(name, value, entries) MAP(2, name, u32, value, entries)
#define BPF_PERCPU_ARRAY(name, value, entries) MAP(6, name, u32, value, entries)
#define BPF_TABLE_percpu_hash(key, value, name, entries) MAP(5, name, key, value, entries)
#define BPF_TABLE_lru_hash(key, value, name, entries) MAP(9, name, key, value, entries)
#define BPF_PROG_ARRAY(name, entries) MAP(3, name, u32, u32, entries)
/* One slot a CPU: libbpf makes as many. */
#define BPF_PERF_OUTPUT(name)    \
    struct {                     \
        int (*type)[4];          \
        int (*key_size)[4];      \
        int (*value_size)[4];    \
    } ts_##name SEC(".maps")
#define BPF_RINGBUF_OUTPUT(name, pages)            \
    struct {                                       \
        int (*type)[27];                           \
        int (*max_entries)[(pages) * (PAGE_SIZE)]; \
    } ts_##name SEC(".maps")

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static int (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static int (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static u32 (*bpf_get_prandom_u32)(void) = (void *)7;
static u32 (*bpf_get_smp_processor_id)(void) = (void *)8;
static long (*bpf_tail_call)(void *ctx, void *programs, u32 index) = (void *)12;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static u64 (*bpf_get_current_uid_gid)(void) = (void *)15;
static int (*bpf_get_current_comm)(void *to, u32 size) = (void *)16;
static u64 (*bpf_get_current_task)(void) = (void *)35;
static int (*bpf_override_return)(void *registers, u64 value) = (void *)58;
static int (*bpf_perf_event_output)(void *ctx, void *map, u64 flags, void *from, u64 size) = (void *)25;
static int (*bpf_get_stack)(void *ctx, void *to, u32 size, u64 flags) = (void *)67;
static u64 (*bpf_get_current_cgroup_id)(void) = (void *)80;
static int (*bpf_probe_read_user)(void *to, u32 size, const void *from) = (void *)112;
static int (*bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static int (*bpf_probe_read_user_str)(void *to, u32 size, const void *from) = (void *)114;
static int (*bpf_probe_read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;
static u64 (*bpf_get_current_ancestor_cgroup_id)(int level) = (void *)123;
static int (*bpf_ringbuf_output)(void *ring, void *from, u64 size, u64 flags) = (void *)130;
static void *(*bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *record, u64 flags) = (void *)132;
static u64 (*bpf_get_attach_cookie)(void *ctx) = (void *)174;

/* `name.lookup(&key)` and so on, as BCC writes them. */
#define map_lookup(name, key) bpf_map_lookup_elem(&ts_##name, key)
#define map_update(name, key, value) bpf_map_update_elem(&ts_##name, key, value, 0)
#define map_insert(name, key, value) bpf_map_update_elem(&ts_##name, key, value, BPF_NOEXIST)
#define map_delete(name, key) bpf_map_delete_elem(&ts_##name, key)
#define map_lookup_or_try_init(name, key, value) lookup_or_try_init(&ts_##name, key, value)
#define map_ringbuf_output(name, from, size, flags) bpf_ringbuf_output(&ts_##name, from, size, flags)
#define map_ringbuf_reserve(name, size) bpf_ringbuf_reserve(&ts_##name, size, 0)
#define map_perf_submit(name, ctx, from, size) bpf_perf_event_output(ctx, &ts_##name, BPF_F_CURRENT_CPU, from, size)
#define map_call(name, ctx, index) bpf_tail_call(ctx, &ts_##name, index)
#define map_ringbuf_submit(name, record, flags) bpf_ringbuf_submit(record, flags)

static inline void *lookup_or_try_init(void *map, const void *key, const void *value)
{
    void *found = bpf_map_lookup_elem(map, key);

    if (found)
        return found;
    bpf_map_update_elem(map, key, value, BPF_NOEXIST);
    return bpf_map_lookup_elem(map, key);
}
