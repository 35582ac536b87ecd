#ifndef TURNPIKE_CPCAP_H
#define TURNPIKE_CPCAP_H

#include <stdio.h>
#include <pcap/pcap.h>

#endif
