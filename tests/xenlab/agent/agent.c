// SPDX-License-Identifier: MIT
/*
 * The lab's agent: runs commands in dom0 and in guests on behalf of tests/xenlab/run.
 *
 * It is the last thing /init starts, as process 1, and the only writer of its terminal (a virtio port in dom0, the PV
 * console in a guest). So that no kernel message can fall into the middle of a protocol line, it silences the kernel's own
 * console output, all but emergencies, and forwards /dev/kmsg as lines of its own.
 *
 * Lines to the host:   @ID KIND PAYLOAD     KIND: o, e  a line of stdout, stderr     O, E  the same without its newline
 *                                                 x  exit code   k  kernel message   r  the agent is up, or answers a ping
 * Lines from the host: run ID COMMAND · in ID BYTES · eof ID · kill ID SIGNAL · ping ID
 * PAYLOAD, COMMAND and BYTES are escaped: \xHH for whatever is not plain ASCII, for @ and for the backslash. An @ thus always
 * begins a line, and the host finds the next good line after any damage.
 *
 * Nothing is allocated after start and all pages are locked: it answers also when the guest is out of memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { kJobs = 32, kInput = 65536, kLine = 65536, kChunk = 1024, kConsoleLevel = 8 };

struct Job {
	int id, pid, code;
	int out[2];                     /* read ends of stdout and stderr, -1 once at their end */
	int in;                         /* write end of stdin, -1 once closed */
	int closing;                    /* close stdin when the buffer is empty */
	size_t input_bytes;
	char input[kInput];
	size_t partial_bytes[2];        /* output that has no newline yet */
	char partial[2][kChunk];
};

static struct Job jobs[kJobs];
static int tty, kmsg, child_pipe[2];

static void write_all(const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t done = write(tty, bytes, n);
		if (done < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (done > 0) {
			bytes += done;
			n -= (size_t)done;
		}
	}
}

static void say(int id, char kind, const char *payload, size_t n)
{
	static char line[4 * kChunk + 64];
	size_t used = (size_t)snprintf(line, sizeof(line), "@%d %c ", id, kind);

	for (size_t i = 0; i < n && used < sizeof(line) - 8; i++) {
		unsigned char c = (unsigned char)payload[i];
		if (c < ' ' || c > '~' || c == '@' || c == '\\')
			used += (size_t)snprintf(line + used, sizeof(line) - used, "\\x%02x", c);
		else
			line[used++] = (char)c;
	}
	line[used++] = '\n';
	write_all(line, used);
}

static size_t unescape(char *text)
{
	char *to = text;

	for (char *from = text; *from; to++) {
		unsigned value;
		if (from[0] == '\\' && sscanf(from + 1, "x%2x", &value) == 1) {
			*to = (char)value;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
	return (size_t)(to - text);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static struct Job *find(int id)
{
	for (int i = 0; i < kJobs; i++)
		if (jobs[i].id == id)
			return &jobs[i];
	return NULL;
}

static void become(const char *command, int in, int out, int err)
{
	struct sigaction normal = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &normal, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (score >= 0 && write(score, "0", 1) != 1)
		_exit(127);
	setsid();
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	for (int fd = 3; fd < 256; fd++)
		close(fd);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

static void run(int id, const char *command)
{
	struct Job *job = find(0);
	int in[2], out[2], err[2];

	if (!job || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
		say(id, 'x', "126", 3);
		return;
	}
	int pid = fork();
	if (pid == 0)
		become(command, in[0], out[1], err[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	if (pid < 0) {
		close(in[1]);
		close(out[0]);
		close(err[0]);
		say(id, 'x', "126", 3);
		return;
	}
	*job = (struct Job){ .id = id, .pid = pid, .code = -1, .in = in[1], .out = { out[0], err[0] } };
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
}

static void flush_input(struct Job *job)
{
	ssize_t done = job->input_bytes ? write(job->in, job->input, job->input_bytes) : 0;

	if (done < 0 && errno != EAGAIN && errno != EINTR) {
		job->input_bytes = 0;           /* nobody reads it any more */
		close_fd(&job->in);
		return;
	}
	if (done > 0) {
		job->input_bytes -= (size_t)done;
		memmove(job->input, job->input + done, job->input_bytes);
	}
	if (job->input_bytes == 0 && job->closing)
		close_fd(&job->in);
}

static void handle(char *line)
{
	int id = 0, used = 0;
	char word[8];
	struct Job *job;

	if (sscanf(line, "%7s %d%n", word, &id, &used) != 2 || id <= 0)
		return;
	char *rest = line + used + (line[used] == ' ');
	size_t n = unescape(rest);

	if (!strcmp(word, "ping")) {
		say(id, 'r', "", 0);
	} else if (!strcmp(word, "run")) {
		run(id, rest);
	} else if ((job = find(id)) == NULL) {
		return;
	} else if (!strcmp(word, "in") && job->in >= 0 && n <= kInput - job->input_bytes) {
		memcpy(job->input + job->input_bytes, rest, n);
		job->input_bytes += n;
		flush_input(job);
	} else if (!strcmp(word, "eof")) {
		job->closing = 1;
		flush_input(job);
	} else if (!strcmp(word, "kill") && job->pid > 0) {
		kill(-job->pid, atoi(rest));
	}
}

static void read_commands(void)
{
	static char line[kLine];
	static size_t used;
	char bytes[4096];
	ssize_t n = read(tty, bytes, sizeof(bytes));

	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] == '\n' || bytes[i] == '\r') {
			line[used] = '\0';
			handle(line);
			used = 0;
		} else if (used < sizeof(line) - 1) {
			line[used++] = bytes[i];
		}
	}
}

/* One read per call: a chatty command cannot keep the others from being heard. */
static void read_output(struct Job *job, int which)
{
	char *text = job->partial[which];
	size_t *have = &job->partial_bytes[which];
	ssize_t n = read(job->out[which], text + *have, kChunk - *have);

	if (n < 0)
		return;
	*have += (size_t)n;
	char *from = text, *end = text + *have, *newline;
	while ((newline = memchr(from, '\n', (size_t)(end - from))) != NULL) {
		say(job->id, which ? 'e' : 'o', from, (size_t)(newline - from));
		from = newline + 1;
	}
	*have = (size_t)(end - from);
	memmove(text, from, *have);
	if (*have == kChunk || (n == 0 && *have)) {
		say(job->id, which ? 'E' : 'O', text, *have);
		*have = 0;
	}
	if (n == 0)
		close_fd(&job->out[which]);
}

static void finish(struct Job *job)
{
	char text[16];

	if (job->code < 0)
		return;
	/* What a background child still holds open is not waited for. */
	for (int which = 0; which < 2; which++) {
		for (int reads = 0; reads < 256 && job->out[which] >= 0; reads++) {
			struct pollfd now = { job->out[which], POLLIN, 0 };
			if (poll(&now, 1, 0) <= 0)
				break;
			read_output(job, which);
		}
		if (job->partial_bytes[which])
			say(job->id, which ? 'E' : 'O', job->partial[which], job->partial_bytes[which]);
		close_fd(&job->out[which]);
	}
	close_fd(&job->in);
	say(job->id, 'x', text, (size_t)snprintf(text, sizeof(text), "%d", job->code));
	job->id = 0;
}

static void reap(void)
{
	char drop[64];
	int status, pid;

	while (read(child_pipe[0], drop, sizeof(drop)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < kJobs; i++)
			if (jobs[i].id && jobs[i].pid == pid)
				jobs[i].code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	for (int i = 0; i < kJobs; i++)
		if (jobs[i].id)
			finish(&jobs[i]);
}

static void forward_kmsg(void)
{
	char record[2048], text[kChunk];
	unsigned long long stamp = 0;
	ssize_t n = read(kmsg, record, sizeof(record) - 1);

	if (n <= 0)
		return;
	record[n] = '\0';
	char *body = strchr(record, ';');
	if (!body || sscanf(record, "%*u,%*u,%llu", &stamp) != 1)
		return;
	body[1 + strcspn(body + 1, "\n")] = '\0';
	n = snprintf(text, sizeof(text), "[%5llu.%06llu] %s", stamp / 1000000, stamp % 1000000, body + 1);
	say(0, 'k', text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void on_child(int sig)
{
	int saved = errno;
	ssize_t ignored = write(child_pipe[1], "", 1);

	(void)sig;
	(void)ignored;
	errno = saved;
}

/* What init programs promise to the poweroff, reboot and halt commands, and so to the kernel's handler of xl shutdown. */
static void on_shutdown(int sig)
{
	sync();
	reboot(sig == SIGTERM ? RB_AUTOBOOT : sig == SIGUSR2 ? RB_POWER_OFF : RB_HALT_SYSTEM);
}

static void prepare(const char *terminal)
{
	struct sigaction child = { .sa_handler = on_child }, down = { .sa_handler = on_shutdown };
	struct termios raw;

	signal(SIGPIPE, SIG_IGN);
	if (pipe2(child_pipe, O_NONBLOCK | O_CLOEXEC))
		exit(1);
	sigaction(SIGCHLD, &child, NULL);
	sigaction(SIGTERM, &down, NULL);
	sigaction(SIGUSR1, &down, NULL);
	sigaction(SIGUSR2, &down, NULL);
	/* A virtio port appears a moment after its driver. */
	for (int tries = 0; (tty = open(terminal, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0; tries++) {
		if (tries == 100) {
			perror(terminal);
			exit(1);
		}
		usleep(100000);
	}
	if (tcgetattr(tty, &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(tty, TCSANOW, &raw);
	}
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	klogctl(kConsoleLevel, NULL, 1);
	int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (score >= 0 && write(score, "-1000", 5) == 5)
		mlockall(MCL_CURRENT | MCL_FUTURE);
	close(score);
}

/* Fills the set to wait for; owner[i] says which job and stream the i-th descriptor belongs to. */
static int collect(struct pollfd *set, struct Job **owner, int *stream)
{
	int n = 3;

	set[0] = (struct pollfd){ tty, POLLIN, 0 };
	set[1] = (struct pollfd){ child_pipe[0], POLLIN, 0 };
	set[2] = (struct pollfd){ kmsg, POLLIN, 0 };
	for (int i = 0; i < kJobs; i++) {
		for (int which = 0; jobs[i].id && which < 3; which++) {
			int input = which == 2;
			int fd = input ? (jobs[i].input_bytes ? jobs[i].in : -1) : jobs[i].out[which];
			if (fd < 0)
				continue;
			owner[n] = &jobs[i];
			stream[n] = which;
			set[n++] = (struct pollfd){ fd, input ? POLLOUT : POLLIN, 0 };
		}
	}
	return n;
}

int main(int argc, char **argv)
{
	static struct pollfd set[3 + 3 * kJobs];
	static struct Job *owner[3 + 3 * kJobs];
	static int stream[3 + 3 * kJobs];

	if (argc != 2)
		return 2;
	prepare(argv[1]);
	say(0, 'r', "", 0);
	for (;;) {
		int n = collect(set, owner, stream), busy = 0;
		if (poll(set, (nfds_t)n, -1) < 0)
			continue;
		if (set[0].revents)
			read_commands();
		for (int i = 3; i < n; i++) {
			if (!set[i].revents || !owner[i]->id)
				continue;
			busy = 1;
			if (stream[i] == 2)
				flush_input(owner[i]);
			else
				read_output(owner[i], stream[i]);
		}
		if (set[1].revents)
			reap();
		else if (!busy && set[2].revents)
			forward_kmsg();
	}
}
