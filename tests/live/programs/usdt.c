/* Four USDT probes without systemtap's header: two sites of one probe that keep their arguments apart, a semaphore. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((section(".probes"))) volatile unsigned short counted_semaphore;

#define NOTE(name, semaphore, arguments)                                                                    \
    ".pushsection .note.stapsdt,\"?\",\"note\"\n.balign 4\n.4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n"      \
    "992: .balign 4\n993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte " semaphore "\n.asciz \"test\"\n.asciz \"" name "\"\n" \
    ".asciz \"" arguments "\"\n994: .balign 4\n.popsection\n"                                                   \
    ".ifndef _.stapsdt.base\n.pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"            \
    ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.size _.stapsdt.base,1\n.popsection\n.endif\n"

__attribute__((noinline)) void registers(int a, long b)
{
    __asm__ volatile("990: nop\n" NOTE("both", "0", "-4@%%edi 8@%%rsi 4@$77") : : "D"(a), "S"(b));
}

__attribute__((noinline)) void memory(int a, long b)
{
    volatile long kept[2] = { a, b };
    __asm__ volatile("990: nop\n" NOTE("both", "0", "-4@(%%rax) 8@8(%%rax) 4@$78") : : "a"(kept) : "memory");
}

__attribute__((noinline)) void counted(int a)
{
    __asm__ volatile("990: nop\n" NOTE("counted", "counted_semaphore", "-4@%%edi") : : "D"(a));
}

__attribute__((noinline)) long twice(int a, long b)
{
    __asm__ volatile("");
    return 2 * a + b;
}

int main(int argc, char **argv)
{
    int times = argc > 1 ? atoi(argv[1]) : 3;
    long sum = 0;

    for (int i = 0; i < times; i++) {
        registers(-i, 1000 + i);
        memory(-i, 2000 + i);
        if (counted_semaphore)
            counted(i);
        sum += twice(i, 100 + i);
    }
    printf("%ld\n", sum);
    return 0;
}
