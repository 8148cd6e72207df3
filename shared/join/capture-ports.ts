/** Where captured traffic arrives: Istio's ports, and the names of the listening sockets that a proxy inherits. */

export const CAPTURE_PORTS = { outbound: 15001, inbound: 15006, dns: 15053 } as const;

/** Ports of proxies and control planes: never captured inbound. */
export const NEVER_CAPTURED = { first: 15000, last: 15090 } as const;

/**
 * Transparent listening sockets (IP_TRANSPARENT), by the names that systemd's `FileDescriptorName=` and LISTEN_FDNAMES have.
 * `outbound` and `inbound` are IPv4, the others IPv6 alone.
 */
export const CAPTURE_SOCKETS = {
  outbound: { family: 4, port: CAPTURE_PORTS.outbound },
  outbound6: { family: 6, port: CAPTURE_PORTS.outbound },
  inbound: { family: 4, port: CAPTURE_PORTS.inbound },
  inbound6: { family: 6, port: CAPTURE_PORTS.inbound },
} as const;
export type CaptureSocket = keyof typeof CAPTURE_SOCKETS;

/** Of a namespace in which the proxy itself does not run (`tulle run --netns`): its name server accepts by TCP there as well. */
export const NAMESPACE_SOCKETS = {
  ...CAPTURE_SOCKETS,
  dns: { family: 4, port: CAPTURE_PORTS.dns },
  dns6: { family: 6, port: CAPTURE_PORTS.dns },
} as const;
export type NamespaceSocket = keyof typeof NAMESPACE_SOCKETS;

/**
 * TULLE_LISTEN_FDS: `outbound=3,inbound=4`. It precedes LISTEN_FDS and LISTEN_FDNAMES, whose LISTEN_PID names a launcher's process.
 */
export const LISTEN_VARIABLE = 'TULLE_LISTEN_FDS';
