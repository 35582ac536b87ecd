// Preloaded into turnutils_uclient, which is older than RFC 8656: it draws channel numbers at random from all that
// RFC 5766 knew, 0x4000 to 0x7FFF, by `0x4000 + random % 0x4000`, and ends at the first 400. RFC 8656 section 12.2
// leaves 0x4000 to 0x4FFF. With two bits of each drawn word cleared the tool draws from those; nothing else changes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

int RAND_bytes(unsigned char *bytes, int count) {
  int (*real)(unsigned char *, int) = (int (*)(unsigned char *, int))dlsym(RTLD_NEXT, "RAND_bytes");
  if (!real) return 0;
  int status = real(bytes, count);
  if (status == 1 && count == (int)sizeof(long)) {
    long word;
    memcpy(&word, bytes, sizeof word);
    word &= ~0x3000L;
    memcpy(bytes, &word, sizeof word);
  }
  return status;
}
