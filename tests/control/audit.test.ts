/** The audit log of a control plane: what is in it of real requests, and what becomes of them when the disk is full. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../control/audit/event.ts';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import { createCsr } from '../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { LINUX, ROOT, temporaryFolder } from '../kit/environment.ts';
import { Program, runSync } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

const folder = temporaryFolder();
const stops: (() => unknown)[] = [];
afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
  folder.dispose();
});

interface Started {
  readonly url: string;
  readonly adminToken: string;
  readonly trustBundle: string;
  readonly monitoringPort: number;
}

async function start(name: string, ...flags: string[]) {
  const data = join(folder.path, name);
  const main = runtimeCommand('node', join(ROOT, 'control/cli/main.ts'));
  const program = new Program('control', [
    ...main,
    ...['control', '--data', data, '--port', '0', '--announce', '--monitoring-port', '0', ...flags],
  ]);
  stops.push(() => program.stop());
  return { data, program, ...(await program.announcement<Started>()) };
}

interface Sent {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

function send(plane: Started, path: string, { method = 'GET', headers = {}, body }: Sent = {}) {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  return new Promise<{ status: number; text: string; id: string | undefined }>((done, fail) => {
    const sent = request(
      new URL(path, plane.url),
      {
        method,
        ca: plane.trustBundle,
        agent: false,
        headers: { ...headers, ...(payload && { 'content-type': 'application/json' }) },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.once('error', fail).once('end', () => {
          done({ status: answer.statusCode ?? 0, text, id: answer.headers['audit-id'] as string | undefined });
        });
      },
    );
    sent.once('error', fail).end(payload);
  });
}

const eventsOf = (file: string): AuditEvent[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as AuditEvent);

describe('what is in it', () => {
  let plane: Awaited<ReturnType<typeof start>>;
  let log: string;
  const admin = () => ({ authorization: `Bearer ${plane.adminToken}` });
  const event = async (sent: Promise<{ id: string | undefined }>) => {
    const { id } = await sent;
    return eventsOf(log).filter(({ auditID }) => auditID === id);
  };
  beforeAll(async () => {
    log = join(folder.path, 'whole', 'audit.log');
    plane = await start('whole', '--audit-log', log);
  }, 240_000);

  it('a request that was allowed: who, what, when, from where, and why', async () => {
    const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'key' }, stringData: { password: 'hunter2' } };
    const path = '/api/v1/namespaces/default/secrets';
    const [found, ...more] = await event(send(plane, path, { method: 'POST', headers: admin(), body }));
    expect(more).toEqual([]);
    expect(found).toMatchObject({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: 'Metadata',
      stage: 'ResponseComplete',
      requestURI: path,
      verb: 'create',
      user: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
      sourceIPs: ['127.0.0.1'],
      objectRef: { resource: 'secrets', namespace: 'default', name: 'key', apiVersion: 'v1' },
      responseStatus: { code: 201 },
      annotations: {
        'authorization.k8s.io/decision': 'allow',
        'authorization.k8s.io/reason': 'group system:masters',
        'apiserver.latency.k8s.io/total': expect.stringMatching(/^\d+\.\d{3}ms$/),
      },
    });
    const [from, to] = [found!.requestReceivedTimestamp, found!.stageTimestamp].map((time) => Date.parse(time));
    expect(to! - from!).toBeGreaterThanOrEqual(0);
    expect(Math.abs(Date.now() - to!)).toBeLessThan(60_000);
  });

  it('a request that was denied before the caller was known', async () => {
    const headers = { authorization: 'Bearer wrong-token' };
    const [found] = await event(send(plane, '/api/v1/secrets?access_token=in-the-query', { headers }));
    expect(found).toMatchObject({
      user: { username: 'system:anonymous', groups: ['system:unauthenticated'] },
      requestURI: '/api/v1/secrets?access_token=REDACTED',
      verb: 'list',
      responseStatus: { code: 401, status: 'Failure', reason: 'Unauthorized' },
      annotations: { 'authorization.k8s.io/decision': 'forbid' },
    });
    const [malformed] = await event(send(plane, '/version', { headers: { 'impersonate-other': 'a' } }));
    expect(malformed).toMatchObject({ verb: 'get', responseStatus: { code: 400 } });
  });

  it('impersonation: both users, and both decisions', async () => {
    const headers = { ...admin(), 'impersonate-user': 'jane', 'impersonate-group': 'shop' };
    const [found] = await event(send(plane, '/api/v1/namespaces/default/services/absent', { headers }));
    expect(found).toMatchObject({
      user: { username: 'admin' },
      impersonatedUser: { username: 'jane', groups: ['shop', 'system:authenticated'] },
      objectRef: { resource: 'services', namespace: 'default', name: 'absent' },
      responseStatus: { code: 403 },
      annotations: {
        'authorization.k8s.io/decision': 'forbid',
        'control.tulle.dev/impersonation-reason': 'group system:masters',
      },
    });
  });

  it("routes of the control plane's own: the permission that they need", async () => {
    const body = { namespace: 'default', serviceAccount: 'web' };
    const [found] = await event(send(plane, '/v1/join-tokens', { method: 'POST', headers: admin(), body }));
    expect(found).toMatchObject({
      verb: 'create',
      requestURI: '/v1/join-tokens',
      objectRef: { resource: 'jointokens', apiGroup: 'control.tulle.dev', namespace: 'default' },
      responseStatus: { code: 200 },
    });
  });

  it('a workload by its SPIFFE id', async () => {
    const account = { namespace: 'default', serviceAccount: 'web' };
    const made = await send(plane, '/v1/join-tokens', { method: 'POST', headers: admin(), body: account });
    const { token } = JSON.parse(made.text) as { token: string };
    const keys = await generateKeys();
    const body = { csr: await createCsr(keys), token };
    const issued = await send(plane, '/v1/certificates', { method: 'POST', body });
    const { certificateChain } = JSON.parse(issued.text) as { certificateChain: string };
    const key = await exportPrivateKey(keys.privateKey);
    await new Promise<void>((done, fail) =>
      request(
        new URL('/api/v1/secrets', plane.url),
        { ca: plane.trustBundle, cert: certificateChain, key, agent: false },
        (answer) => answer.resume().once('end', done),
      )
        .once('error', fail)
        .end(),
    );
    expect(eventsOf(log).at(-1)).toMatchObject({
      user: {
        username: 'spiffe://cluster.local/ns/default/sa/web',
        extra: {
          'control.tulle.dev/credential': ['X.509-SVID'],
          'control.tulle.dev/certificate-serial': [expect.stringMatching(/^[0-9a-f]+$/)],
        },
      },
      responseStatus: { code: 403 },
      annotations: { 'authorization.k8s.io/decision': 'forbid' },
    });
  });

  it('a watch when it begins, and when it ends', async () => {
    const { text, id } = await send(plane, '/api/v1/services?watch=true&timeoutSeconds=1', { headers: admin() });
    expect(text).toBeDefined();
    await until('both events', () => eventsOf(log).filter(({ auditID }) => auditID === id).length === 2);
    const [begin, end] = eventsOf(log).filter(({ auditID }) => auditID === id);
    expect([begin!.stage, end!.stage]).toEqual(['ResponseStarted', 'ResponseComplete']);
    expect([begin!.verb, end!.verb]).toEqual(['watch', 'watch']);
    expect(Date.parse(end!.stageTimestamp) - Date.parse(begin!.stageTimestamp)).toBeGreaterThan(500);
  });

  it('no secret, no token, no body', () => {
    const text = readFileSync(log, 'utf8');
    for (const secret of ['hunter2', 'wrong-token', 'in-the-query', plane.adminToken, 'BEGIN CERTIFICATE'])
      expect(text).not.toContain(secret);
  });

  it('opens the file again at SIGHUP, and starts again on a data folder that holds it', async () => {
    renameSync(log, `${log}.1`);
    plane.program.process.kill('SIGHUP');
    await until('a new file', async () => {
      await send(plane, '/version');
      return readdirHas(log);
    });
    renameSync(`${log}.1`, join(folder.path, 'moved'));
    await plane.program.stop();
    const again = await start('whole', '--audit-log', log);
    expect((await send(again, '/version')).status).toBe(200);
  }, 240_000);

  const readdirHas = (path: string) => {
    try {
      return eventsOf(path).length > 0;
    } catch {
      return false;
    }
  };
});

it('--audit-log -: lines on standard output; a policy chooses them', async () => {
  const file = join(folder.path, 'policy.yaml');
  writeFileSync(
    file,
    'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, nonResourceURLs: ["/healthz*"]}, {level: Metadata}]\n',
  );
  const plane = await start('stdout', '--audit-log', '-', '--audit-policy-file', file, '--audit-log-mode', 'batch');
  await send(plane, '/healthz');
  const { id } = await send(plane, '/version');
  const events = () =>
    plane.program.lines
      .filter((line) => line.includes('audit.k8s.io/v1'))
      .map((line) => JSON.parse(line.slice(line.indexOf('{'))) as AuditEvent);
  await until('a line', () => events().length > 0);
  expect(events().map(({ auditID, requestURI }) => [auditID, requestURI])).toEqual([[id, '/version']]);
}, 240_000);

describe('a full disk', () => {
  const disk = join(folder.path, 'disk');
  mkdirSync(disk);
  const mounted = LINUX && runSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tulle-audit', disk]).code === 0;
  if (mounted) stops.push(() => runSync('umount', [disk]));
  else console.warn('skipped: a file system of 64 kB cannot be mounted here');

  const fillDisk = (name: string) => {
    try {
      writeFileSync(join(disk, name), Buffer.alloc(1024 * 1024));
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
    }
  };
  const errors = async ({ monitoringPort }: Started, metric: string) =>
    Number(
      new RegExp(`^${metric}(?:\\{.*\\})? (\\d+)$`, 'm').exec(
        await (await fetch(`http://127.0.0.1:${monitoringPort}/metrics`)).text(),
      )?.[1],
    );

  it.skipIf(!mounted)(
    'refuses requests in mode blocking-strict, and answers them in mode blocking',
    async () => {
      const strict = await start(
        'strict',
        '--audit-log',
        join(disk, 'strict.log'),
        '--audit-log-mode',
        'blocking-strict',
      );
      const blocking = await start('blocking', '--audit-log', join(disk, 'blocking.log'));
      const headers = { authorization: `Bearer ${strict.adminToken}` };
      expect((await send(strict, '/api/v1/services', { headers })).status).toBe(200);
      const events = eventsOf(join(disk, 'strict.log'));
      expect(events.map(({ stage }) => stage)).toEqual(['RequestReceived', 'ResponseComplete']);
      fillDisk('filler');

      const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } };
      const path = '/api/v1/namespaces/default/configmaps';
      // Some lines may still fit into the last page.
      await until('a refusal', async () => (await send(strict, path, { headers })).status === 500);
      const refused = await send(strict, path, { method: 'POST', headers, body });
      expect(refused).toMatchObject({ status: 500, text: expect.stringContaining('the audit log cannot be written') });
      expect(await errors(strict, 'apiserver_audit_requests_rejected_total')).toBeGreaterThan(0);

      const other = { authorization: `Bearer ${blocking.adminToken}` };
      await until('a counted error', async () => {
        expect((await send(blocking, '/api/v1/services', { headers: other })).status).toBe(200);
        return (await errors(blocking, 'apiserver_audit_error_total')) > 0;
      });
      await until('a line of the log', () =>
        blocking.program.lines.some((line) => line.includes('audit log:') && line.includes('ENOSPC')),
      );

      runSync('rm', [join(disk, 'filler')]);
      await until('an answer', async () => (await send(strict, path, { headers })).status === 200);
      expect(JSON.parse((await send(strict, path, { headers })).text).items).toEqual([]);
      // Every line but one that the full disk cut is whole.
      const broken = readFileSync(join(disk, 'strict.log'), 'utf8')
        .split('\n')
        .filter(Boolean)
        .filter((line) => !line.endsWith('}'));
      expect(broken.length).toBeLessThanOrEqual(1);
    },
    120_000,
  );
});
