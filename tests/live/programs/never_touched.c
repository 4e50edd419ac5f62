/* never_touched FILE…: opens each FILE, and the path that it holds, out of a mapping that nobody has touched. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    for (int at = 1; at < argc; at++) {
        int file = open(argv[at], O_RDONLY);
        char *path = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);

        close(open(path, O_RDONLY | O_APPEND));
        close(file);
    }
    return 0;
}
