/** Who may use the sidecar's HTTP proxy: the port, and the credentials that `tulle run` gives its application. */
export interface HttpProxyAccess {
  readonly port: number;
  /** `user:password`; both are of characters that a URL takes as they are. Absent: every client that reaches the port. */
  readonly credentials?: string;
}

const USER = 'tulle';
const SECRET_BYTES = 32;
/** RFC 3986 unreserved. */
const SECRET = /^[A-Za-z0-9._~-]{16,256}$/;

/** With a secret of its own for each run. */
export function newAccess(port: number): HttpProxyAccess {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  const secret = btoa(String.fromCharCode(...bytes))
    .replace(/=+$/, '')
    .replaceAll('+', '-')
    .replaceAll('/', '_');
  return { port, credentials: `${USER}:${secret}` };
}

/** With a secret that the user keeps. @throws Error saying the rule, without the secret */
export function accessWith(port: number, secret: string): HttpProxyAccess {
  if (!SECRET.test(secret)) throw new Error('must hold 16 to 256 letters, digits, ".", "_", "~" or "-"');
  return { port, credentials: `${USER}:${secret}` };
}

/** What an application's `http_proxy` is. */
export function accessUrl({ port, credentials }: HttpProxyAccess): string {
  return `http://${credentials === undefined ? '' : `${credentials}@`}127.0.0.1:${port}`;
}
