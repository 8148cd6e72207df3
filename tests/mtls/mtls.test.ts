import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { Program } from '../kit/process.ts';
import { type Authority, intermediate, type Leaf, leaf, pem, rootAuthority, x509 } from './certificates.ts';

const ATTEMPTS = 100;
const FRIEND = 'spiffe://cluster.local/ns/shop/sa/reviews';
const HOUR_MS = 3_600_000;

interface Report {
  listening?: number;
  delivered?: string;
  uris?: string[];
  alpn?: string;
  refused?: string;
  paused?: boolean;
  afterPause?: number;
}

/** The server under test on one runtime, and what it has reported. */
class Server extends Program {
  readonly reports: Report[] = [];

  constructor(runtime: RuntimeName, settings: string) {
    super(`mTLS server (${runtime})`, [...runtimeCommand(runtime, join(ROOT, 'tests/mtls/server.ts')), settings]);
    this.onLine((line, output) => {
      if (output === 'stdout') this.reports.push(JSON.parse(line) as Report);
    });
  }

  /** Resolves at the report that makes `condition` hold. @throws when the server ends first */
  async until(condition: () => boolean): Promise<void> {
    await this.line(() => condition() || undefined, 120_000);
  }

  count(what: 'delivered' | 'refused'): number {
    return this.reports.filter((report) => report[what] !== undefined).length;
  }

  get port(): number {
    return this.reports.find((report) => report.listening)!.listening!;
  }
}

/** Connects, writes at once, and gathers whatever comes back until the close. */
function attempt(port: number, options: tls.ConnectionOptions, send = 'hello'): Promise<string> {
  return new Promise((resolve) => {
    let got = '';
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options }, () => {
      socket.write(send);
    });
    socket.on('data', (bytes) => {
      got += bytes.toString('latin1');
      if (got.length >= send.length) socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(got));
  });
}

/** The bad certificates a client may come with. */
const INTRUDERS: Record<string, (trusted: Authority, rogue: Authority) => Promise<Partial<Leaf>>> = {
  'no certificate': async () => ({}),
  'rogue CA': (_, rogue) => leaf(rogue, { uri: FRIEND }),
  expired: (trusted) => leaf(trusted, { uri: FRIEND, notAfter: new Date(Date.now() - HOUR_MS) }),
  'not yet valid': (trusted) => leaf(trusted, { uri: FRIEND, notBefore: new Date(Date.now() + HOUR_MS) }),
  'wrong trust domain': (trusted) => leaf(trusted, { uri: 'spiffe://evil.example/ns/shop/sa/reviews' }),
  'wrong identity': (trusted) => leaf(trusted, { uri: 'spiffe://cluster.local/ns/other/sa/reviews' }),
  'leaf used as CA': async (trusted) => leaf((await leaf(trusted, { uri: FRIEND })).authority, { uri: FRIEND }),
  'CA used as leaf': (trusted) => leaf(trusted, { uri: FRIEND, ca: true }),
  'issued below a path length of 0': async (trusted) =>
    leaf(await intermediate(await intermediate(trusted, 'short', 0), 'too deep'), { uri: FRIEND }),
  'a chain too long': async (trusted) => {
    let authority = trusted;
    for (let i = 0; i < 6; i++) authority = await intermediate(authority, `level ${i}`);
    return leaf(authority, { uri: FRIEND });
  },
  'for servers only': (trusted) => leaf(trusted, { uri: FRIEND, purposes: [x509.ExtendedKeyUsage.serverAuth] }),
  'an unknown critical extension': (trusted) =>
    leaf(trusted, { uri: FRIEND, extra: [new x509.Extension('1.2.3.4.5', true, new Uint8Array([5, 0]))] }),
};

/** Bun serves plaintext on sockets of its own; TLS may still come to one that was accepted there. */
const SERVERS = [
  ...RUNTIMES.map((runtime) => [runtime, 'sockets for TLS', false] as const),
  ...RUNTIMES.filter((runtime) => runtime === 'bun').map((runtime) => [runtime, 'plaintext sockets', true] as const),
];

describe.each(SERVERS)('strict mTLS on %s, %s', (runtime, _, plaintext) => {
  const folder = temporaryFolder();
  let server: Server;
  let trusted: Authority;
  let rogue: Authority;
  let friend: Leaf;

  beforeAll(async () => {
    trusted = await rootAuthority('trusted');
    // Same name as the trusted root: only the key tells them apart.
    rogue = await rootAuthority('trusted');
    friend = await leaf(await intermediate(trusted, 'issuing'), { uri: FRIEND });
    const own = await leaf(trusted, { uri: 'spiffe://cluster.local/ns/shop/sa/server' });
    const settings = join(folder.path, 'settings.json');
    writeFileSync(
      settings,
      JSON.stringify({
        certificateChain: own.cert,
        privateKey: own.key,
        trustedRoots: pem(trusted),
        acceptPrefix: 'spiffe://cluster.local/ns/shop/',
        plaintext,
      }),
    );
    server = new Server(runtime, settings);
    await server.until(() => server.reports.some((report) => report.listening));
  });
  afterAll(async () => {
    await server.stop('SIGKILL');
    folder.dispose();
  });

  it('lets a friend through an intermediate, and names it', async () => {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const before = server.count('delivered');
      const got = await attempt(server.port, {
        cert: friend.cert,
        key: friend.key,
        maxVersion,
        ALPNProtocols: ['istio'],
      });
      expect(got.slice(0, 5)).toBe('hello');
      await server.until(() => server.count('delivered') > before);
      expect(server.reports.findLast((report) => report.delivered)).toEqual({
        delivered: 'hello',
        uris: [FRIEND],
        alpn: 'istio',
      });
    }
  });

  it('half-closes: an answer after the peer finished still arrives', async () => {
    const got = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = tls.connect({
        host: '127.0.0.1',
        port: server.port,
        rejectUnauthorized: false,
        cert: friend.cert,
        key: friend.key,
        // Documented by Node, missing in its types.
        ...({ allowHalfOpen: true } as object),
      });
      socket.on('secureConnect', () => socket.end());
      socket.on('data', (bytes) => (text += bytes));
      socket.on('end', () => resolve(text));
      socket.on('error', reject);
    });
    expect(got).toBe('bye');
  });

  it('carries megabytes both ways unchanged', async () => {
    const sent = 'x'.repeat(4 << 20);
    const got = await attempt(server.port, { ...friend }, sent);
    expect(got.slice(0, sent.length) === sent).toBe(true);
  });

  it('stops reading while paused', async () => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: server.port,
      rejectUnauthorized: false,
      cert: friend.cert,
      key: friend.key,
    });
    socket.on('error', () => {});
    await new Promise<void>((resolve) => socket.on('secureConnect', () => resolve()));
    socket.write('pause');
    await server.until(() => server.reports.some((report) => report.paused));
    // More than both kernels' socket buffers can hold: only a server that continues reading could take it all.
    let taken = false;
    socket.write(Buffer.alloc(64 << 20), () => {
      taken = true;
    });
    // The server serves others meanwhile, and would read from this one in the same turns of its event loop.
    for (let i = 0; i < 20; i++) expect((await attempt(server.port, { ...friend })).slice(0, 5)).toBe('hello');
    expect(taken).toBe(false);
    socket.destroy();
    const seen = server.reports.reduce((sum, report) => sum + (report.afterPause ?? 0), 0);
    expect(seen).toBeLessThan(1 << 20);
  });

  it.each(Object.keys(INTRUDERS))('refuses %s', async (kind) => {
    const intruder = await INTRUDERS[kind]!(trusted, rogue);
    const delivered = server.count('delivered');
    const refused = server.count('refused');
    for (let done = 0; done < ATTEMPTS; done += 10) {
      const got = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          attempt(server.port, { ...intruder, maxVersion: i % 2 ? 'TLSv1.2' : 'TLSv1.3' }),
        ),
      );
      expect(got).toEqual(Array(10).fill(''));
    }
    await server.until(() => server.count('refused') >= refused + ATTEMPTS);
    expect(server.count('delivered')).toBe(delivered);
  });

  it('judges a resumed session as any other', async () => {
    // An accepted session first; whatever tickets it gave are then used by a client without any right.
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const sessions: Buffer[] = [];
      await new Promise<void>((resolve) => {
        const socket = tls.connect({
          host: '127.0.0.1',
          port: server.port,
          rejectUnauthorized: false,
          maxVersion,
          ...friend,
        });
        socket.on('session', (session) => sessions.push(session));
        socket.on('secureConnect', () => socket.write('hello'));
        socket.on('data', () => socket.end());
        socket.on('close', () => resolve());
        socket.on('error', () => {});
      });
      const intruder = await leaf(rogue, { uri: FRIEND });
      const refused = server.count('refused');
      const session = sessions.at(-1);
      for (let i = 0; i < ATTEMPTS; i++) {
        // OpenSSL itself drops a session whose context differs in key; without any certificate it is offered.
        const credentials = i % 2 ? intruder : {};
        const got = await attempt(server.port, { ...credentials, maxVersion, ...(session ? { session } : {}) });
        // A ticket that proves the friend's own key may resume the friend's session; its names are judged again.
        if (got !== '') expect(server.reports.findLast((report) => report.delivered)!.uris).toEqual([FRIEND]);
      }
      if (runtime !== 'deno') {
        await server.until(() => server.count('refused') >= refused + ATTEMPTS);
        expect(session === undefined || server.count('refused') === refused + ATTEMPTS).toBe(true);
      }
    }
  });

  it('refuses a session that an unacceptable certificate left behind', async () => {
    // TLS 1.2 hands out its ticket, and so ends its handshake, before the peer is judged.
    for (const kind of ['rogue CA', 'expired', 'wrong identity']) {
      const intruder = await INTRUDERS[kind]!(trusted, rogue);
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const delivered = server.count('delivered');
        const sessions: Buffer[] = [];
        for (let i = 0; i < ATTEMPTS / 4; i++) {
          const session = sessions.at(-1);
          expect(
            await resume(server.port, { ...intruder, maxVersion, ...(session ? { session } : {}) }, sessions),
          ).toBe('');
        }
        expect(server.count('delivered')).toBe(delivered);
      }
    }
  });
});

/** As `attempt`, gathering the sessions that the server offers. */
function resume(port: number, options: tls.ConnectionOptions, sessions: Buffer[]): Promise<string> {
  return new Promise((resolve) => {
    let got = '';
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options }, () => {
      socket.write('hello');
    });
    socket.on('session', (session) => sessions.push(session));
    socket.on('data', (bytes) => {
      got += bytes.toString('latin1');
      socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(got));
  });
}
