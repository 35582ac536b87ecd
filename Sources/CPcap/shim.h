#ifndef TURNPIKE_CPCAP_H
#define TURNPIKE_CPCAP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <stdio.h>
#include <pcap/pcap.h>

#endif
