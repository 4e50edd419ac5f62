/* The one switch that BCC checks before it compiles anything. */
#define CONFIG_BPF_SYSCALL 1
