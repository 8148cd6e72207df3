/** Why an address could not be listened on, in one line a user can act on. */
export class ListenError extends Error {
  readonly code: string;

  constructor(address: string, port: number, cause: { code?: string; message: string }) {
    const code = cause.code ?? '';
    const isPath = /^[/@]/.test(address);
    const at = isPath ? address : address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    super(`cannot listen on ${at}: ${REASONS[code] ?? cause.message}`);
    this.name = 'ListenError';
    this.code = code;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use by another process; stop it or choose another port',
  EACCES: 'not permitted; ports below 1024 need CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start',
  EPERM: 'not permitted by the system',
  EADDRNOTAVAIL: 'the address belongs to no interface of this machine',
  ENOTFOUND: 'the address cannot be resolved',
  EMFILE: 'too many open files',
};
