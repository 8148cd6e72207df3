/** Client certificates of users, at a real control plane: kubectl with one, and all that must not pass for one. */
import 'reflect-metadata';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openAuthority } from '../../control/ca/authority.ts';
import { kubeconfig } from '../../control/cli/kubeconfig/write.ts';
import { type ControlPlane, startControlPlane } from '../../control/control-plane.ts';
import { createCsr } from '../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { encodePem } from '../../shared/identity/pem.ts';
import { X509CrlGenerator } from '../../shared/identity/x509.ts';
import { kubectlBinary, tulle } from '../kit/command.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { run } from '../kit/process.ts';
import { type Authority, intermediate, type Leaf, leaf, pem, rootAuthority } from '../mtls/certificates.ts';

const folder = temporaryFolder();
const file = (name: string) => join(folder.path, name);
const caFile = file('client-ca.pem');
const crlFile = file('client-crl.pem');
const data = file('data');
let plane: ControlPlane;
let lines: string[] = [];
let ca: Authority;
let other: Authority;
let agent: Agent;

const options = {
  data,
  address: '127.0.0.1',
  port: 0,
  dnsNames: [],
  ips: [],
  trustDomain: 'cluster.local',
  svidTtl: 3600,
  version: '0',
};
const start = () =>
  startControlPlane({ ...options, log: (line) => void lines.push(line), userCertificates: { caFile, crlFile } });

const user = (authority: Authority, subject: string, more: Partial<Parameters<typeof leaf>[1]> = {}) =>
  leaf(authority, { uri: '', names: null, subject, purposes: ['1.3.6.1.5.5.7.3.2'], ...more });

async function writeCrl(
  authority: Authority,
  serials: readonly string[],
  nextUpdate = new Date(Date.now() + 86_400_000),
) {
  const crl = await X509CrlGenerator.create({
    issuer: authority.certificate.subject,
    thisUpdate: new Date(Date.now() - 2 * 86_400_000),
    nextUpdate,
    entries: serials.map((serialNumber) => ({ serialNumber, revocationDate: new Date(Date.now() - 60_000) })),
    signingKey: authority.keys.privateKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' } as never,
  });
  writeFileSync(crlFile, encodePem('X509 CRL', new Uint8Array(crl.rawData)));
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

function get(path: string, who: { cert?: string; key?: string } = {}, headers: Record<string, string> = {}) {
  return new Promise<Answer>((done, fail) => {
    const sent = request(
      new URL(path, plane.url),
      { ca: plane.trustBundle, cert: who.cert, key: who.key, agent, headers },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.once('error', fail).once('end', () => done({ status: answer.statusCode ?? 0, text }));
      },
    );
    sent.once('error', fail).end();
  });
}

/** `Error` where the connection is closed. */
const statusOf = (who: { cert?: string; key?: string }, path = '/api/v1/services') =>
  get(path, who).then(
    ({ status }) => status,
    () => 'Error',
  );

beforeAll(async () => {
  [ca, other] = await Promise.all([rootAuthority('users'), rootAuthority('others')]);
  writeFileSync(caFile, pem(ca) + pem(other));
  await writeCrl(ca, []);
  plane = await start();
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
}, 240_000);
afterEach(() => {
  agent.destroy();
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
});
afterAll(async () => {
  await plane?.stop();
  folder.dispose();
});

describe('a user', () => {
  it('has the common name as name, and organizations as groups', async () => {
    const admin = await user(ca, 'CN=root, O=ops, O=system:masters');
    const { status, text } = await get('/api/v1/namespaces', admin);
    expect([status, JSON.parse(text).kind]).toEqual([200, 'NamespaceList']);
    const jane = await user(ca, 'CN=jane, O=shop');
    expect(await get('/api/v1/services', jane)).toMatchObject({
      status: 403,
      text: expect.stringContaining('User \\"jane\\" cannot list'),
    });
    // Nothing is left of one connection on another.
    agent.destroy();
    expect((await get('/api/v1/services')).status).toBe(401);
  });

  it('of an intermediate CA sends it along', async () => {
    const below = await intermediate(other, 'department');
    expect(await statusOf(await user(below, 'CN=root, O=system:masters'))).toBe(200);
  });

  it('counts before a token that is presented as well, as in kube-apiserver', async () => {
    const headers = { authorization: `Bearer ${plane.adminToken}` };
    expect((await get('/api/v1/services', await user(ca, 'CN=jane'), headers)).status).toBe(403);
  });

  const withKubectl = async (who: Leaf) => {
    const document = JSON.parse(
      JSON.stringify((await import('yaml')).parse(kubeconfig(plane.url, plane.trustBundle, ''))),
    );
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    document.users[0].user = { 'client-certificate-data': base64(who.cert), 'client-key-data': base64(who.key) };
    writeFileSync(file('kubeconfig'), JSON.stringify(document), { mode: 0o600 });
    return file('kubeconfig');
  };

  it.skipIf(!kubectlBinary)(
    'has a kubeconfig with client-certificate-data, for kubectl and for tulle',
    async () => {
      const config = await withKubectl(await user(ca, 'CN=jane, O=shop'));
      const kubectl = (...args: string[]) => run(kubectlBinary!, ['--kubeconfig', config, ...args]);
      const who = await kubectl('auth', 'whoami', '-o', 'jsonpath={.status.userInfo}');
      expect(who.error).toBe('');
      expect(JSON.parse(who.out)).toMatchObject({ username: 'jane', groups: ['shop', 'system:authenticated'] });
      expect(await kubectl('get', 'services')).toMatchObject({ code: 1, error: expect.stringContaining('Forbidden') });
      const admin = await withKubectl(await user(ca, 'CN=root, O=system:masters'));
      expect(await run(kubectlBinary!, ['--kubeconfig', admin, 'create', 'configmap', 'a'])).toMatchObject({ code: 0 });
      expect(await tulle(['get', 'configmaps', '--kubeconfig', admin])).toMatchObject({
        code: 0,
        out: expect.stringContaining('a'),
      });
    },
    60_000,
  );
});

describe('the certificates of users and of workloads are separate', () => {
  const svid = async () => {
    const authority = await openAuthority({ folder: join(data, 'ca'), trustDomain: 'cluster.local' });
    const keys = await generateKeys();
    const spiffeId = 'spiffe://cluster.local/ns/default/sa/web';
    const { certificateChain } = await authority.issue(await createCsr(keys, spiffeId), spiffeId);
    return { cert: certificateChain, key: await exportPrivateKey(keys.privateKey) };
  };

  it('a workload is no user', async () => {
    const { status, text } = await get('/api/v1/services', await svid());
    expect(status).toBe(403);
    expect(text).toContain('spiffe://cluster.local/ns/default/sa/web');
  });

  it('a user is no workload: neither discovery nor certificates', async () => {
    const jane = await user(ca, 'CN=jane, O=shop');
    const post = (path: string, body: object) =>
      new Promise<number>((done, fail) => {
        const payload = JSON.stringify(body);
        const headers = { 'content-type': 'application/json', 'content-length': payload.length };
        request(
          new URL(path, plane.url),
          { method: 'POST', ca: plane.trustBundle, cert: jane.cert, key: jane.key, agent: false, headers },
          (answer) => answer.resume().once('end', () => done(answer.statusCode ?? 0)),
        )
          .once('error', fail)
          .end(payload);
      });
    expect(await post('/v3/delta-discovery', { node: { id: 'a' }, requests: [] })).toBe(403);
    expect(await post('/v1/jwt-svids', { audience: ['a'] })).toBe(403);
    expect(await post('/v1/certificates', { csr: await createCsr(await generateKeys()) })).toBe(403);
  });

  it.each([
    'spiffe://cluster.local/ns/default/sa/web',
    'SPIFFE://cluster.local/ns/istio-system/sa/x',
    'spiffe://other/a',
  ])('a CA of users signs no workload: %s', async (uri) => {
    lines = [];
    const both = await leaf(ca, { uri, subject: 'CN=root, O=system:masters' });
    expect(await statusOf(both)).toBe('Error');
    expect(lines.join()).toContain('refused client certificate');
  });

  it('CAs of the mesh sign no users', async () => {
    // The server's own certificate has no SPIFFE id.
    const authority = await openAuthority({ folder: join(data, 'ca'), trustDomain: 'cluster.local' });
    const { certificateChain, privateKey } = await authority.serverCertificate({ dnsNames: ['root'], ips: [] });
    expect(await statusOf({ cert: certificateChain, key: privateKey })).toBe('Error');
    const root = authority.trustBundle;
    writeFileSync(file('mesh.pem'), root);
    const refused = startControlPlane({
      ...options,
      data: file('second'),
      caFolder: join(data, 'ca'),
      log: () => {},
      userCertificates: { caFile: file('mesh.pem') },
    });
    await expect(refused).rejects.toThrow(/--client-ca-file .*: certificate [0-9a-f]+ is a CA of the mesh/);
  });
});

describe('a connection is closed', () => {
  it.each<[string, () => Promise<Leaf>]>([
    ['of an unknown CA', async () => user(await rootAuthority('users'), 'CN=jane')],
    ['without a common name', () => user(ca, 'O=system:masters')],
    ['that has expired', () => user(ca, 'CN=jane', { notAfter: new Date(Date.now() - 1000) })],
    ['that is not valid yet', () => user(ca, 'CN=jane', { notBefore: new Date(Date.now() + 60_000) })],
    ['for servers alone', () => user(ca, 'CN=jane', { purposes: ['1.3.6.1.5.5.7.3.1'] })],
    ['that is a CA', () => user(ca, 'CN=jane', { ca: true })],
  ])('with a certificate %s', async (_, make) => {
    lines = [];
    expect(await statusOf(await make())).toBe('Error');
    expect(lines[0]).toContain('refused client certificate');
  });
});

describe('each request is judged', () => {
  it('a certificate that was revoked since the connection was made is refused', async () => {
    const one = await user(ca, 'CN=one, O=system:masters', { serial: '00e1' });
    const two = await user(ca, 'CN=two, O=system:masters', { serial: '00e2' });
    expect(await statusOf(one)).toBe(200);
    await writeCrl(ca, ['00e1']);
    await plane.reload();
    expect(await statusOf(one)).toBe('Error');
    agent.destroy();
    agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await statusOf(two)).toBe(200);
    // A list that is out of date says nothing of any certificate.
    await writeCrl(ca, [], new Date(Date.now() - 1000));
    await plane.reload();
    agent.destroy();
    agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await statusOf(two)).toBe('Error');
    expect(lines.join('\n')).toContain('the revocation list of the CA of the client certificate is out of date');
    agent.destroy();
    agent = new Agent({ keepAlive: true, maxSockets: 1 });
    // Of the other CA there is no list.
    expect(await statusOf(await user(other, 'CN=root, O=system:masters'))).toBe(200);
    await writeCrl(ca, []);
    await plane.reload();
  });

  it('a list that is signed by another CA changes nothing, and is reported', async () => {
    lines = [];
    const stranger = await rootAuthority('users');
    await writeCrl(stranger, ['00e2']);
    await plane.reload();
    expect(lines.join()).toMatch(
      /--client-crl-file .*: the revocation list of CN=users is signed by none of the CAs; what it held before stays/,
    );
    expect(await statusOf(await user(ca, 'CN=two, O=system:masters', { serial: '00e2' }))).toBe(200);
    await writeCrl(ca, []);
  });

  it('a certificate whose CA was taken out of the file is refused; one of a new CA is not', async () => {
    const old = await user(other, 'CN=root, O=system:masters');
    expect(await statusOf(old)).toBe(200);
    const next = await rootAuthority('next');
    writeFileSync(caFile, pem(ca) + pem(next));
    await plane.reload();
    expect(await statusOf(old)).toBe('Error');
    agent.destroy();
    agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await statusOf(await user(next, 'CN=root, O=system:masters'))).toBe(200);
  });

  it('a certificate that expires ends its connection', async () => {
    const brief = await user(ca, 'CN=root, O=system:masters', { notAfter: new Date(Date.now() + 3000) });
    expect(await statusOf(brief)).toBe(200);
    await expect.poll(() => statusOf(brief), { timeout: 30_000 }).toBe('Error');
  }, 240_000);
});

it.each([
  ['', /--client-ca-file .*: no PEM block "CERTIFICATE" found/],
  ['absent', /--client-ca-file .*: ENOENT/],
  ['leaf', /--client-ca-file .*: certificate [0-9a-f]+ is not one of a CA/],
])('a start with a broken file is refused: %s', async (what, message) => {
  const path = file(`broken-${what}`);
  if (what !== 'absent') writeFileSync(path, what === 'leaf' ? (await user(ca, 'CN=jane')).cert : '');
  await expect(
    startControlPlane({ ...options, data: file('third'), log: () => {}, userCertificates: { caFile: path } }),
  ).rejects.toThrow(message);
});
