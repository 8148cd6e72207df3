import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openAuthority } from '../../control/ca/authority.ts';
import { decodePem } from '../../shared/identity/pem.ts';
import { obtainCertificate } from '../join/certificate.ts';
import { reach } from '../join/control-plane.ts';
import { checkControlPlanes } from './control-plane-checks.ts';

const folder = mkdtempSync(join(tmpdir(), 'tulle-checks-'));
let server: Server;
let url: string;
let rootHash: string;
let ahead = 0;
let joinAnswer: { status: number; body: unknown } = { status: 200, body: {} };
/** Method and path of each request, and its body. */
const seen: string[] = [];

beforeAll(async () => {
  const authority = await openAuthority({ folder, trustDomain: 'td' });
  const { certificateChain, privateKey } = await authority.serverCertificate({ dnsNames: [], ips: ['127.0.0.1'] });
  const { trustBundle } = authority;
  rootHash = createHash('sha256').update(decodePem(trustBundle, 'CERTIFICATE')[0]!).digest('hex');
  server = createServer({ cert: certificateChain, key: privateKey }, (request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      seen.push(`${request.method} ${request.url} ${body}`);
      response.setHeader('date', new Date(Date.now() + ahead).toUTCString());
      const answer =
        request.url === '/v1/join' ? joinAnswer : { status: 200, body: { trustDomain: 'td', trustBundle } };
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  ahead = 0;
  seen.length = 0;
});

const errors = (checks: readonly { result: string; error?: string; hint?: string }[]) =>
  checks.filter(({ result }) => result !== 'success').map(({ result, error, hint }) => [result, error, hint]);

describe('a control plane', () => {
  it('is one with the root of the invitation, whose way also says the own address', async () => {
    const { category, reached } = await checkControlPlanes([url], rootHash);
    expect(errors(category.checks)).toEqual([]);
    expect(reached).toMatchObject([{ url, address: '127.0.0.1' }]);
    expect(seen).toEqual(['GET /v1/trust-bundle ']);
  });

  it('with another root is refused before anything secret is sent', async () => {
    await expect(reach(url, '00'.repeat(32))).rejects.toThrow('another root certificate than the invitation names');
    const { category, reached } = await checkControlPlanes([url], '00'.repeat(32));
    expect(errors(category.checks)).toMatchObject([
      ['error', expect.stringContaining('another root'), expect.anything()],
    ]);
    expect(reached).toEqual([]);
    expect(seen.filter((line) => !line.startsWith('GET /v1/trust-bundle'))).toEqual([]);
  });

  it('that cannot be reached is an error, or a warning beside one that can', async () => {
    const closed = 'https://127.0.0.1:1';
    expect(errors((await checkControlPlanes([closed], rootHash)).category.checks)).toMatchObject([
      ['error', expect.stringContaining(`${closed} cannot be reached`), expect.stringContaining('firewall')],
    ]);
    const { category, reached } = await checkControlPlanes([closed, url], rootHash);
    expect(errors(category.checks)).toMatchObject([['warning', expect.anything(), expect.anything()]]);
    expect(reached.map((one) => one.url)).toEqual([url]);
  });

  it.each([
    [600_000, 'the clock of this machine is 10 min behind'],
    [-600_000, 'the clock of this machine is 10 min ahead of'],
    [-90_000, 'the clock of this machine is 90 s ahead of'],
  ])('whose clock is %i ms ahead is an error', async (by, message) => {
    ahead = by;
    const [found] = errors((await checkControlPlanes([url], rootHash)).category.checks);
    expect(found![0]).toBe('error');
    expect(found![1]).toMatch(new RegExp(`^${message}`.replace(/\d+ s/, '(89|90|91) s')));
    expect(found![2]).toContain('timedatectl');
  });
});

describe('the certificate of a join', () => {
  const evidence = {
    evidence: async () => ({ kind: 'token', token: 'tulle.0123456789abcdef.secret' }) as const,
    asked: {},
  };
  const root = async () => (await reach(url, rootHash)).root;

  it.each([
    [401, { message: 'join token was used' }, /refused the join: join token was used; make another invitation/],
    [403, { message: 'the group is another' }, /the group is another; ask an administrator/],
    [503, {}, /status 503; attempt it again/],
    [200, {}, /its answer gives no certificate/],
  ])('%i is refused in one line, without the token', async (status, body, message) => {
    joinAnswer = { status, body };
    const refused = await obtainCertificate([url], await root(), evidence).catch((error: Error) => error);
    expect(String(refused)).toMatch(message);
    expect(String(refused)).not.toMatch(/secret|\n/);
  });

  it('is not requested of a server that the root does not verify', async () => {
    const other = await openAuthority({ folder: join(folder, 'other'), trustDomain: 'td' });
    await expect(obtainCertificate([url], other.trustBundle, evidence)).rejects.toThrow('cannot be reached');
    expect(seen).toEqual([]);
  });
});
