/* compat [PROGRAM [ARGUMENT...]]: 32-bit code without a C library; executes PROGRAM, else ends with status 7.
   An exec that fails ends it with its errno. */
__asm__(".globl _start\n"
        "_start:\n"
        "    mov (%esp), %eax\n"          /* argc */
        "    mov $7, %ebx\n"
        "    cmp $1, %eax\n"
        "    je 1f\n"
        "    lea 8(%esp), %ecx\n"         /* argv + 1 */
        "    lea 8(%esp,%eax,4), %edx\n"  /* envp */
        "    mov (%ecx), %ebx\n"
        "    mov $11, %eax\n"             /* execve */
        "    int $0x80\n"
        "    neg %eax\n"
        "    mov %eax, %ebx\n"
        "1:  mov $1, %eax\n"              /* exit */
        "    int $0x80\n");
