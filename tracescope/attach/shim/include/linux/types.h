/* The integer names that BCC's helpers.h and bpf.h are written in. */
#ifndef TRACESCOPE_TYPES_H
#define TRACESCOPE_TYPES_H
typedef signed char __s8, s8;
typedef unsigned char __u8, u8;
typedef short __s16, s16;
typedef unsigned short __u16, u16;
typedef int __s32, s32;
typedef unsigned int __u32, u32;
typedef long long __s64, s64;
typedef unsigned long long __u64, u64;
typedef __u16 __be16, __le16, __sum16;
typedef __u32 __be32, __le32, __wsum;
typedef __u64 __be64, __le64;
typedef __SIZE_TYPE__ size_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef int pid_t;
typedef _Bool bool;
#define __aligned_u64 __u64 __attribute__((aligned(8)))
#define NULL ((void *)0)
#endif
