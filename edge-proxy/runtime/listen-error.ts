import { isUnixAddress } from '../../shared/match/unix-address.ts';

/** Why an address could not be listened on, in one line a user can act on. */
export class ListenError extends Error {
  readonly code: string;

  constructor(address: string, port: number, cause: { code?: string; message: string }) {
    const code = cause.code ?? '';
    const at = isUnixAddress(address) ? address : address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    const reasons = isUnixAddress(address) ? SOCKET_REASONS : REASONS;
    super(`cannot listen on ${at}: ${reasons[code] ?? cause.message}`);
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

const SOCKET_REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there, or the file is no socket',
  EACCES: 'the folder does not exist, or is not writable',
  ENOENT: 'the folder does not exist, or is not writable',
  EMFILE: 'too many open files',
};
