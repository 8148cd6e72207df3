import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hono } from 'hono';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createCsr } from '../../shared/identity/csr.ts';
import { generateKeys } from '../../shared/identity/keys.ts';
import { parseSvid } from '../../shared/identity/svid.ts';
import { Accounts } from '../ca/accounts.ts';
import { type Authority, openAuthority } from '../ca/authority.ts';
import { JoinTokens } from '../ca/join-tokens.ts';
import type { NewJoin } from '../ca/joins.ts';
import { memoryTokenStore } from '../ca/token-store.ts';
import { type Judges, tokenJudge } from '../join/join-evidence.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceStore } from '../store/store.ts';
import type { WorkloadGroup } from '../workloads/group-template.ts';
import { createInitialNamespaces } from './app.ts';
import { authenticate } from './auth.ts';
import type { ApiEnv } from './caller.ts';
import { invitationRoutes } from './invitations.ts';
import { joinRoutes } from './join.ts';
import { WORK_LIMITS, WorkLimits } from './server/work-limits.ts';

let folder: string;
let authority: Authority;
let csr: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-join-'));
  authority = await openAuthority({ folder, trustDomain: 'td' });
  csr = await createCsr(await generateKeys());
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let app: Hono<ApiEnv>;
let tokens: JoinTokens;
let store: ResourceStore;
let accounts: Accounts;
let begun: (NewJoin & { serial: string })[];
let group: WorkloadGroup;
const reviews = () =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadGroup',
    metadata: { name: 'reviews', namespace: 'default' },
    spec: {
      metadata: {
        labels: { app: 'reviews', tier: 'vm' },
        annotations: { 'traffic.sidecar.istio.io/excludeOutboundPorts': '5432', team: 'stars' },
      },
      template: {
        serviceAccount: 'bookinfo-reviews',
        labels: { app: 'old', version: 'v1' },
        ports: { http: 9080 },
        network: 'vms',
        locality: 'eu/a/1',
      },
    },
  }) as WorkloadGroup;

beforeEach(async () => {
  tokens = new JoinTokens(memoryTokenStore());
  store = memoryStore();
  await createInitialNamespaces(store);
  accounts = await Accounts.open(store, { load: async () => [], record: async () => {} });
  begun = [];
  group = reviews();
  app = build({ token: tokenJudge(tokens) });
});

function build(judges: Judges, limits = new WorkLimits()): Hono<ApiEnv> {
  const made = new Hono<ApiEnv>();
  made.use(authenticate({ isAdmin: (token) => token === 'admin-token' }));
  const common = {
    accounts,
    group: async (namespace: string, name: string) =>
      namespace === 'default' && name === 'reviews' ? group : undefined,
    controlPlanes: () => ['https://10.0.0.1:15012'],
  };
  made.route('/', invitationRoutes({ ...common, tokens, authority }));
  const joins = {
    begin: async (join: NewJoin, { serial, notAfter }: { serial: string; notAfter: number }) => {
      begun.push({ ...join, serial });
      return { ...join, serial, notAfter, id: '0'.repeat(16), created: 0, revoked: undefined, reason: undefined };
    },
  };
  made.route('/', joinRoutes({ ...common, authority, judges, joins, limits }));
  return made;
}

async function post(path: string, body: unknown, bearer?: string, address = '10.0.0.9') {
  const headers = { 'content-type': 'application/json', ...(bearer && { authorization: `Bearer ${bearer}` }) };
  const init = { method: 'POST', headers, body: JSON.stringify(body) };
  const response = await app.request(path, init, { remoteAddress: address });
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any shape
  return { status: response.status, headers: response.headers, body: (await response.json()) as any };
}
const invite = (body: object) => post('/v1/invitations', { namespace: 'default', ...body }, 'admin-token');
const joinWith = (token: string, more: object = {}) =>
  post('/v1/join', { csr, evidence: { kind: 'token', token }, ...more });

it('makes a machine a workload of the group that it was invited to', async () => {
  const invited = await invite({ group: 'reviews', uses: 2, labels: { rack: 'r1' }, ephemeral: true });
  expect(invited.status).toBe(200);
  expect(invited.headers.get('cache-control')).toBe('no-store');
  const rootHash = createHash('sha256').update(new X509Certificate(authority.trustBundle).raw).digest('hex');
  expect(invited.body).toMatchObject({ rootHash, controlPlanes: ['https://10.0.0.1:15012'] });
  expect(invited.body.token).toContain(`.${invited.body.id}.`);

  const joined = await joinWith(invited.body.token, { namespace: 'default', group: 'reviews', ttlSeconds: 60 });
  expect(joined.status).toBe(200);
  expect(joined.body).toMatchObject({
    spiffeId: 'spiffe://td/ns/default/sa/bookinfo-reviews',
    namespace: 'default',
    serviceAccount: 'bookinfo-reviews',
    group: 'reviews',
    labels: { app: 'reviews', tier: 'vm', version: 'v1', rack: 'r1' },
    ports: { http: 9080 },
    network: 'vms',
    locality: 'eu/a/1',
    annotations: { 'traffic.sidecar.istio.io/excludeOutboundPorts': '5432' },
    ephemeral: true,
    controlPlanes: ['https://10.0.0.1:15012'],
    trustBundle: authority.trustBundle,
  });
  const svid = parseSvid(joined.body.certificateChain);
  expect(svid.spiffeId).toBe(joined.body.spiffeId);
  expect(begun).toMatchObject([
    { group: 'reviews', by: `token ${invited.body.id}`, labels: { rack: 'r1' }, ephemeral: true },
  ]);
  expect(begun[0]!.serial).toMatch(/^[1-9a-f][0-9a-f]+$/);
  expect((await tokens.list())[0]).toMatchObject({ uses: 2, usesLeft: 1, group: 'reviews' });
});

it('joins without a group by a service account', async () => {
  const { body } = await invite({ serviceAccount: 'ci' });
  const joined = await joinWith(body.token);
  expect(joined.body).toMatchObject({ serviceAccount: 'ci', labels: {}, ports: {}, ephemeral: false });
  expect(joined.body.group).toBeUndefined();
});

it('lets exactly as many of many machines at once join as the invitation says', async () => {
  const { body } = await invite({ group: 'reviews', uses: 5 });
  const answers = await Promise.all(Array.from({ length: 12 }, () => joinWith(body.token)));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(5);
  expect(answers.filter(({ status }) => status === 401)).toHaveLength(7);
  expect(begun).toHaveLength(5);
});

it.each([
  ['no group and no account', {}, 422, /one of group and serviceAccount/],
  ['both', { group: 'reviews', serviceAccount: 'x' }, 422, /one of group/],
  ['an unknown group', { group: 'ratings' }, 404, /"ratings" of namespace "default" does not exist/],
  ['an unknown namespace', { namespace: 'shop', serviceAccount: 'x' }, 403, /namespace "shop" does not exist/],
  ['too many uses', { group: 'reviews', uses: 10_001 }, 422, /uses/],
  [
    'a label of the group',
    { group: 'reviews', labels: { app: 'ratings' } },
    422,
    /labels.app: must not replace "reviews"/,
  ],
  ['a reserved label', { group: 'reviews', labels: { 'topology.istio.io/network': 'x' } }, 422, /reserved/],
  ['a malformed label', { group: 'reviews', labels: { 'a b': 'x' } }, 422, /label key/],
  ['an unknown field', { group: 'reviews', role: 'x' }, 422, /role/],
])('refuses an invitation with %s', async (_, body, status, message) => {
  const refused = await invite(body);
  expect(refused).toMatchObject({ status, body: { message: expect.stringMatching(message) } });
  expect(await tokens.list()).toEqual([]);
});

it('gives invitations to the admin alone', async () => {
  expect((await post('/v1/invitations', { namespace: 'default', group: 'reviews' })).status).toBe(401);
});

it.each([
  ['another namespace', { namespace: 'shop' }, 403, /namespace: "shop" is not what the evidence is for, default/],
  ['another group', { group: 'ratings' }, 403, /group: "ratings"/],
  ['another account', { serviceAccount: 'admin' }, 403, /serviceAccount: "admin"/],
  ['a CSR that is none', { csr: 'x' }, 400, /CSR/i],
  ['a lifetime that is too long', { ttlSeconds: 1e9 }, 400, /lifetime/],
  ['an unknown field', { role: 'x' }, 422, /role/],
])('refuses to join with %s, which costs no use', async (_, more, status, message) => {
  const { body } = await invite({ group: 'reviews' });
  expect(await joinWith(body.token, more)).toMatchObject({ status, body: { message: expect.stringMatching(message) } });
  expect((await joinWith(body.token)).status).toBe(200);
});

it('refuses where the group has become another, is gone, or its account is revoked', async () => {
  const { body } = await invite({ group: 'reviews' });
  group = { ...group, spec: { template: { serviceAccount: 'other' } } } as WorkloadGroup;
  expect(await joinWith(body.token)).toMatchObject({
    status: 409,
    body: { message: /"other", not "bookinfo-reviews"/ },
  });
  group = undefined as never;
  expect((await joinWith(body.token)).status).toBe(404);
  group = reviews();
  await accounts.revoke({ namespace: 'default', serviceAccount: 'bookinfo-reviews' });
  expect((await joinWith(body.token)).status).toBe(403);
  expect(begun).toEqual([]);
});

it('refuses evidence of a kind that nothing judges, and tokens that are spent, revoked or invented', async () => {
  const oidc = await post('/v1/join', { csr, evidence: { kind: 'oidc', token: 'e30.e30.x' } });
  expect(oidc).toMatchObject({ status: 403, body: { message: /"oidc" is not accepted/ } });
  const { body } = await invite({ group: 'reviews' });
  await tokens.revoke(body.id);
  const revoked = await joinWith(body.token);
  expect(revoked).toMatchObject({ status: 401, body: { message: /revoked/ } });
  expect(JSON.stringify(revoked.body)).not.toContain(body.token);
  expect((await joinWith(`tulle.0123456789abcdef.${'A'.repeat(43)}`)).status).toBe(401);
});

it('does no work for a source that asks too often, and says when to come again', async () => {
  let judged = 0;
  const limits = new WorkLimits({ ...WORK_LIMITS, source: { burst: 50, perSecond: 1 }, failureCost: 20 }, () => 0);
  const judge = tokenJudge(tokens);
  app = build(
    {
      token: (...all) => {
        judged += 1;
        return judge(...all);
      },
    },
    limits,
  );
  const guess = `tulle.0123456789abcdef.${'A'.repeat(43)}`;
  const answers = [];
  for (let i = 0; i < 5; i++) answers.push(await joinWith(guess));
  expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 429, 429]);
  expect(answers[4]!.headers.get('retry-after')).toMatch(/^\d+$/);
  expect(judged).toBe(3);
  const { body } = await invite({ group: 'reviews' });
  const other = { csr, evidence: { kind: 'token', token: body.token } };
  expect((await post('/v1/join', other, undefined, '10.0.0.10')).status).toBe(200);
});
