/* cold PROGRAM FILE: executes PROGRAM with the three arguments in FILE, each with its NUL, from pages that nobody has
   touched: the file is mapped and not read. */
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int file = open(argv[2], O_RDONLY);
    char *page = mmap(NULL, 3 * 4096, PROT_READ, MAP_PRIVATE, file, 0);

    execve(argv[1], (char *[]){page, page + 4096, page + 2 * 4096, NULL}, (char *[]){NULL});
    return argc;
}
