/** Limits of one user, workload or address, at a real control plane; and that the usual ones hinder no fleet and no kubectl. */
import { Agent, type RequestOptions, request } from 'node:https';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../../control/control-plane.ts';
import { createCsr } from '../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { until } from '../kit/waiting.ts';

const folder = temporaryFolder();
const planes: ControlPlane[] = [];
const agents: Agent[] = [];
afterAll(async () => {
  for (const agent of agents) agent.destroy();
  for (const plane of planes) await plane.stop();
  folder.dispose();
});

async function start(identityLimits?: ControlPlaneOptions['identityLimits']) {
  const plane = await startControlPlane({
    data: join(folder.path, `data-${planes.length}`),
    address: '127.0.0.1',
    port: 0,
    dnsNames: [],
    ips: [],
    trustDomain: 'cluster.local',
    svidTtl: 3600,
    version: '0',
    monitoring: { address: '127.0.0.1', port: 0 },
    ...(identityLimits && { identityLimits }),
    log: () => {},
  });
  planes.push(plane);
  return plane;
}

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly text: string;
}

function send(plane: ControlPlane, method: string, path: string, who: RequestOptions = {}, body?: unknown) {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const headers = {
    ...who.headers,
    ...(payload !== undefined && { 'content-type': 'application/json', 'content-length': payload.length }),
  };
  return new Promise<Answer>((done, fail) => {
    const sent = request(
      new URL(path, plane.url),
      { ca: plane.trustBundle, agent: false, ...who, method, headers },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.once('error', fail).once('end', () => {
          done({ status: answer.statusCode ?? 0, retryAfter: answer.headers['retry-after'], text });
        });
      },
    );
    sent.once('error', fail).end(payload);
  });
}

const bearer = (token: string): RequestOptions => ({ headers: { authorization: `Bearer ${token}` } });
const count = (answers: readonly Answer[], status: number) => answers.filter((each) => each.status === status).length;

/** An open watch. @returns its status, and what closes it */
function watch(plane: ControlPlane, who: RequestOptions) {
  return new Promise<{ status: number; close: () => void }>((done, fail) => {
    const path = '/api/v1/services?watch=true';
    const sent = request(new URL(path, plane.url), { ca: plane.trustBundle, agent: false, ...who }, (answer) => {
      answer.on('error', () => {}).resume();
      done({ status: answer.statusCode ?? 0, close: () => sent.destroy() });
    });
    sent.once('error', fail).end();
  });
}

const metric = async (plane: ControlPlane, limit: string) => {
  const text = await (await fetch(`http://127.0.0.1:${plane.monitoringPort}/metrics`)).text();
  return Number(
    new RegExp(`^tulle_control_limited_requests_total\\{limit="${limit}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0,
  );
};

async function joinAs(plane: ControlPlane, serviceAccount: string) {
  const claim = { namespace: 'default', serviceAccount };
  const made = await send(plane, 'POST', '/v1/join-tokens', bearer(plane.adminToken!), claim);
  const keys = await generateKeys();
  const { token } = JSON.parse(made.text) as { token: string };
  const answer = await send(plane, 'POST', '/v1/certificates', {}, { csr: await createCsr(keys), token });
  const { certificateChain } = JSON.parse(answer.text) as { certificateChain: string };
  return { status: answer.status, cert: certificateChain, key: await exportPrivateKey(keys.privateKey) };
}

describe('small limits', () => {
  it('answer 429 with Retry-After to the user that asks too often, and to no other', async () => {
    const plane = await start({ perSecond: 4 });
    const made = await send(plane, 'POST', '/v1/user-tokens', bearer(plane.adminToken!), { user: 'jane' });
    const jane = bearer((JSON.parse(made.text) as { token: string }).token);
    const answers = await Promise.all(Array.from({ length: 60 }, () => send(plane, 'GET', '/version', jane)));
    expect(count(answers, 429)).toBeGreaterThan(0);
    expect(count(answers, 200)).toBeGreaterThanOrEqual(20);
    const refused = answers.find(({ status }) => status === 429)!;
    expect(Number(refused.retryAfter)).toBeGreaterThan(0);
    expect(JSON.parse(refused.text)).toMatchObject({ kind: 'Status', reason: 'TooManyRequests', code: 429 });
    expect(await metric(plane, 'rate')).toBe(count(answers, 429));
    expect((await send(plane, 'GET', '/version', bearer(plane.adminToken!))).status).toBe(200);
    expect((await send(plane, 'GET', '/version')).status).toBe(200);
  }, 240_000);

  it('count watches apart, until they end', async () => {
    const plane = await start({ watches: 2, inFlight: 1 });
    const admin = bearer(plane.adminToken!);
    const [one, two] = [await watch(plane, admin), await watch(plane, admin)];
    expect([one.status, two.status, (await watch(plane, admin)).status]).toEqual([200, 200, 429]);
    expect((await send(plane, 'GET', '/api/v1/services', admin)).status).toBe(200);
    one.close();
    await until('room for another watch', async () => (await watch(plane, admin)).status === 200);
    two.close();
    expect(await metric(plane, 'watches')).toBeGreaterThan(0);
  }, 240_000);

  it('end the guessing of tokens from one address; tokens that were valid are still taken, JWT-SVIDs too', async () => {
    const plane = await start({ failedTokensPerSecond: 1 });
    const made = await send(plane, 'POST', '/v1/user-tokens', bearer(plane.adminToken!), { user: 'jane' });
    const jane = bearer((JSON.parse(made.text) as { token: string }).token);
    expect((await send(plane, 'GET', '/api', jane)).status).toBe(200);
    const svid = await joinAs(plane, 'web');
    const audience = ['tulle-control'];
    const issued = await send(plane, 'POST', '/v1/jwt-svids', { cert: svid.cert, key: svid.key }, { audience });
    const worker = bearer((JSON.parse(issued.text) as { token: string }).token);
    // A JWT-SVID is no user's token: on its own routes it is none that failed.
    for (let i = 0; i < 30; i++)
      expect((await send(plane, 'POST', '/v1/jwt-svids', worker, { audience })).status).toBe(200);

    const guesses: Answer[] = [];
    for (let i = 0; i < 40; i++) guesses.push(await send(plane, 'GET', '/api', bearer(`guess-${i}`)));
    expect(count(guesses, 401)).toBeGreaterThanOrEqual(20);
    expect(count(guesses, 429)).toBeGreaterThan(0);
    expect((await send(plane, 'GET', '/api', jane)).status).toBe(200);
    expect((await send(plane, 'GET', '/api', bearer(plane.adminToken!))).status).toBe(200);
    expect((await send(plane, 'POST', '/v1/jwt-svids', worker, { audience })).status).toBe(200);
    expect((await send(plane, 'GET', '/version')).status).toBe(200);
    expect(await metric(plane, 'failed-tokens')).toBe(count(guesses, 429));
  }, 240_000);
});

describe('the usual limits', () => {
  it('hinder no hundred proxies of one address that join at once, and no burst of kubectl', async () => {
    const plane = await start();
    const joined = await Promise.all(Array.from({ length: 100 }, (_, i) => joinAs(plane, `app-${i}`)));
    expect(joined.filter(({ status }) => status !== 200)).toEqual([]);
    const agent = new Agent({ keepAlive: true, maxSockets: 32 });
    agents.push(agent);
    const admin = { ...bearer(plane.adminToken!), agent };
    const burst = await Promise.all(Array.from({ length: 1000 }, () => send(plane, 'GET', '/api/v1/services', admin)));
    expect(count(burst, 200)).toBe(1000);
    expect(await metric(plane, 'rate')).toBe(0);
    expect(await metric(plane, 'in-flight')).toBe(0);
  }, 120_000);
});
