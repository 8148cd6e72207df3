/**
 * Addresses of Unix domain sockets: `unix:///run/app.sock`, or `unix://@name` in the abstract name space of Linux. They are
 * written where an IP address may be; the port beside them is 0.
 */

const PREFIX = 'unix://';

export function unixAddress(path: string): string {
  return `${PREFIX}${path}`;
}

export function isUnixAddress(address: string): boolean {
  return address.startsWith(PREFIX);
}

/** The path as the system takes it; undefined: the address is no Unix domain socket. */
export function socketPath(address: string): string | undefined {
  if (!isUnixAddress(address)) return undefined;
  const path = address.slice(PREFIX.length);
  return path.startsWith('@') ? `\0${path.slice(1)}` : path;
}
