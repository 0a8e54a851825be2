/* Runs every file of the folders that are its arguments through a fuzz target. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* The input stands alone on the heap, so that a sanitizer sees a read behind its end. */
static bool run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat status;
    uint8_t *bytes;
    bool good;

    if (file == NULL || fstat(fileno(file), &status) < 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    good = S_ISREG(status.st_mode);
    if (good) {
        size_t len = (size_t)status.st_size;

        bytes = malloc(len > 0 ? len : 1);
        if (bytes == NULL || fread(bytes, 1, len, file) != len) {
            perror(path);
            exit(EXIT_FAILURE);
        }
        (void)LLVMFuzzerTestOneInput(bytes, len);
        free(bytes);
    }
    fclose(file);
    return good;
}

static unsigned run_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    unsigned count = 0;

    if (dir == NULL) {
        perror(folder);
        exit(EXIT_FAILURE);
    }
    while ((entry = readdir(dir)) != NULL) {
        char path[PATH_MAX];

        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path)) {
            fprintf(stderr, "%s: the path is too long\n", folder);
            exit(EXIT_FAILURE);
        }
        count += run_file(path);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        unsigned count = run_folder(argv[i]);

        printf("%s: %u inputs\n", argv[i], count);
        if (count == 0)
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
