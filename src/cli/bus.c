#include "cli/bus.h"

#include "base/file.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios cooked;
static bool input_is_terminal, error_is_terminal;

static atomic_flag told = ATOMIC_FLAG_INIT;
static char message[512];

static void add(const char *text) {
    size_t n = strlen(message), room = sizeof message - 1 - n, len = strlen(text);
    memcpy(message + n, text, len < room ? len : room);
}

/* Only async-signal-safe functions: the fault may stand anywhere, on any thread. */
static void on_bus_error(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    const char *path = info->si_code == BUS_ADRERR ? ts_map_path_at(info->si_addr) : NULL;
    if (!path) { /* not ours: back to the fault, which now ends the process as it would have */
        signal(signal_number, SIG_DFL);
        return;
    }
    while (atomic_flag_test_and_set(&told)) pause(); /* another thread is telling; it takes us along */
    if (input_is_terminal) tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
    if (error_is_terminal) add("\r\n");
    add("tessera: ");
    add(path);
    add(" has been shortened while it was in use: start again when the file is whole\n");
    ssize_t n = write(STDERR_FILENO, message, strlen(message));
    (void)n; /* nobody is left who could be told */
    _exit(1);
}

void cli_catch_bus_error(void) {
    input_is_terminal = tcgetattr(STDIN_FILENO, &cooked) == 0;
    error_is_terminal = isatty(STDERR_FILENO);
    struct sigaction a = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&a.sa_mask);
    sigaction(SIGBUS, &a, NULL);
}
