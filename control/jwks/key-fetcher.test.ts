import 'reflect-metadata';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import * as x509 from '@peculiar/x509';
import { afterEach, describe, expect, it } from 'vitest';
import { leaf, rootAuthority } from '../../tests/mtls/certificates.ts';
import { parseAllowedHosts } from './allowed-addresses.ts';
import { type FetcherOptions, keyFetcher } from './key-fetcher.ts';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
});
async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}
const resolving = (...answers: string[][]): NonNullable<FetcherOptions['resolve']> => {
  let asked = 0;
  return async () => answers[Math.min(asked++, answers.length - 1)]!.map((address) => ({ address, family: 4 }));
};
const fetching = (url: string, allowed: string[], resolve?: FetcherOptions['resolve'], timeoutMs = 10_000) =>
  keyFetcher({ allowedHosts: parseAllowedHosts(allowed), ...(resolve && { resolve }) }).fetch(url, timeoutMs, ['a']);

describe('where it connects', () => {
  it('to a host that was allowed, at the addresses that were judged', async () => {
    const port = await serve((request, response) => response.end(`${request.headers.host} ${request.url}`));
    expect(await fetching(`http://127.0.0.1:${port}/keys?a=b`, [`127.0.0.1:${port}`])).toBe(
      `127.0.0.1:${port} /keys?a=b`,
    );
    // The name resolves once: what it would be at a second look does not count.
    const rebinding = resolving(['127.0.0.1'], ['192.0.2.1']);
    const url = `http://keys.test:${port}/`;
    expect(await fetching(url, ['keys.test'], rebinding)).toBe(`keys.test:${port} /`);
  });
  it.each([
    ['http://127.0.0.1:1/', []],
    ['http://[::1]:1/', []],
    ['http://[::ffff:127.0.0.1]:1/', []],
    ['http://2130706433:1/', []],
    ['http://0x7f.1:1/', []],
    ['http://169.254.169.254/latest/meta-data', []],
    ['http://localhost:1/', ['127.0.0.1:2']],
    ['https://127.0.0.1:1/', ['127.0.0.1:443']],
  ])('not to %s, allowed %j', async (url, allowed) =>
    expect(fetching(url, allowed)).rejects.toThrow('has no public address; tulle control --jwks-allow-host'),
  );
  it('not where one of the addresses is not public', async () => {
    const mixed = resolving(['93.184.215.14', '169.254.169.254']);
    await expect(fetching('http://keys.test/', [], mixed)).rejects.toThrow(
      /^keys\.test has no public address; tulle control --jwks-allow-host keys\.test allows another one$/,
    );
  });
  it('of a name that does not exist the same is said: an error tells nothing of internal names', async () => {
    const missing = () => Promise.reject(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }));
    await expect(fetching('http://keys.test/', [], missing)).rejects.toThrow('keys.test has no public address');
    await expect(fetching('http://keys.test/', ['keys.test'], missing)).rejects.toThrow('cannot be asked: ENOTFOUND');
  });
  it('not where a redirect leads to an address that is not public', async () => {
    const asked: string[] = [];
    const secret = await serve((request, response) => response.end(void asked.push(request.url!)));
    const port = await serve((_, response) =>
      response.writeHead(302, { location: `http://127.0.0.1:${secret}/secret` }).end(),
    );
    await expect(fetching(`http://127.0.0.1:${port}/`, [`127.0.0.1:${port}`])).rejects.toThrow(
      `127.0.0.1:${secret} has no public address`,
    );
    expect(asked).toEqual([]);
  });
  it('a redirect to an allowed host is followed, up to three', async () => {
    const port = await serve(({ url }, response) =>
      Number(url!.slice(1)) > 0
        ? response.writeHead(307, { location: `/${Number(url!.slice(1)) - 1}` }).end()
        : response.end('there'),
    );
    expect(await fetching(`http://127.0.0.1:${port}/3`, ['127.0.0.1'])).toBe('there');
    await expect(fetching(`http://127.0.0.1:${port}/4`, ['127.0.0.1'])).rejects.toThrow('redirects more than 3 times');
  });
  it.each([
    ['file:///etc/passwd', 'neither http nor https'],
    ['ftp://a/', 'neither http nor https'],
    ['http://user:secret@a.test/', 'holds credentials'],
    ['nonsense', 'cannot be read'],
  ])('%s', async (url, reason) => {
    const error = await fetching(url, []).catch((caught: Error) => caught);
    expect(String(error)).toContain(reason);
    expect(String(error)).not.toContain('secret');
  });
});

describe('what it takes', () => {
  const at = async (listener: RequestListener, timeoutMs?: number) => {
    const port = await serve(listener);
    return fetching(`http://127.0.0.1:${port}/x?token=secret`, ['127.0.0.1'], undefined, timeoutMs);
  };
  it.each([404, 500, 204])('no status %i', async (status) =>
    expect(at((_, response) => response.writeHead(status).end('secret'))).rejects.toThrow(
      new RegExp(`^127\\.0\\.0\\.1:\\d+ answers ${status}$`),
    ),
  );
  it('no body of more than 1 MiB, announced or not', async () => {
    await expect(at((_, response) => response.end('x'.repeat(1024 * 1024 + 1)))).rejects.toThrow('more than 1048576');
    const endless: RequestListener = (_, response) => {
      const more = () => {
        if (!response.destroyed) response.write('x'.repeat(65_536), more);
      };
      more();
    };
    await expect(at(endless)).rejects.toThrow('more than 1048576');
  });
  it('no answer after its time, of a server that is silent or slow', async () => {
    await expect(at(() => {}, 200)).rejects.toThrow('did not answer within 0.2 s');
    await expect(at((_, response) => void response.write('{'), 200)).rejects.toThrow('did not answer within 0.2 s');
  });
  it('no half of an answer', async () =>
    expect(
      at((_, response) => {
        response.writeHead(200, { 'content-length': '10' });
        response.write('12345', () => response.destroy());
      }),
    ).rejects.toThrow(/127\.0\.0\.1:\d+ (ended the connection amid the answer|cannot be asked: ECONNRESET)/));
});

it('asks one host for two documents at a time', async () => {
  let now = 0;
  let most = 0;
  const port = await serve((_, response) => {
    most = Math.max(most, ++now);
    setTimeout(() => {
      now--;
      response.end('ok');
    }, 20);
  });
  const fetcher = keyFetcher({ allowedHosts: parseAllowedHosts(['127.0.0.1']) });
  const url = `http://127.0.0.1:${port}/`;
  expect(await Promise.all(Array.from({ length: 8 }, () => fetcher.fetch(url, 10_000, ['a'])))).toEqual(
    Array(8).fill('ok'),
  );
  expect(most).toBe(2);
});

describe('over https', () => {
  it('verifies the host by name with the roots of the runtime and those that were added, and by no address', async () => {
    const root = await rootAuthority('issuer');
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'keys.test' }]);
    const { cert, key } = await leaf(root, { uri: '', names, purposes: ['1.3.6.1.5.5.7.3.1'] });
    const server = createSecureServer({ cert, key }, (request, response) => {
      const { servername } = request.socket as { servername?: string };
      response.end(`${servername} ${request.headers.host}`);
    });
    servers.push(server as never);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as AddressInfo;
    const at = (host: string, extraRoots?: string) =>
      keyFetcher({
        allowedHosts: parseAllowedHosts([host]),
        resolve: resolving(['127.0.0.1']),
        ...(extraRoots !== undefined && { extraRoots }),
      }).fetch(`https://${host}:${port}/`, 10_000, ['a']);
    const extraRoots = root.certificate.toString('pem');
    expect(await at('keys.test', extraRoots)).toBe(`keys.test keys.test:${port}`);
    await expect(at('other.test', extraRoots)).rejects.toThrow('cannot be asked: ERR_TLS_CERT_ALTNAME_INVALID');
    await expect(at('keys.test')).rejects.toThrow(/cannot be asked: (UNABLE_TO|SELF_SIGNED|DEPTH)/);
  });
  it('is not left by a redirect', async () => {
    const root = await rootAuthority('issuer');
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'keys.test' }]);
    const { cert, key } = await leaf(root, { uri: '', names, purposes: ['1.3.6.1.5.5.7.3.1'] });
    const server = createSecureServer({ cert, key }, (_, response) =>
      response.writeHead(301, { location: 'http://keys.test/' }).end(),
    );
    servers.push(server as never);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const fetcher = keyFetcher({
      allowedHosts: parseAllowedHosts(['keys.test']),
      resolve: resolving(['127.0.0.1']),
      extraRoots: root.certificate.toString('pem'),
    });
    const url = `https://keys.test:${(server.address() as AddressInfo).port}/`;
    await expect(fetcher.fetch(url, 10_000, ['a'])).rejects.toThrow('redirects from https to http');
  });
});
