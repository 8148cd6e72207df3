/** What a mesh must do, whichever runtime its proxies are on: one body, run once a runtime. */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RuntimeName } from '../../control/cli/runtimes.mjs';
import { REFERENCE, RUNTIMES } from '../kit/environment.ts';
import { authorizationPolicy, meshService, peerAuthentication, workloadEntry, yaml } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';
import { PRINCIPAL, ShopMesh, Traffic } from './shop-mesh.ts';

const BOOKINFO = `${REFERENCE}/samples/bookinfo/networking`;
if (!existsSync(BOOKINFO)) console.warn("skipped: Istio's Bookinfo files are not here");
const CALLS = 400;
/** Six standard deviations: a fair proxy falls outside once in 500 million runs. */
const spread = (share: number) => 6 * Math.sqrt(CALLS * share * (1 - share));

export function meshSuite(runtime: RuntimeName): void {
  describe.skipIf(!RUNTIMES.includes(runtime))(`a mesh of ${runtime} proxies`, () => {
    const shop = new ShopMesh(runtime);
    /** Runs through every test below; no rule ever touches details. */
    let steady: Traffic;
    let serials: { client: string; details: string };

    beforeAll(async () => {
      await shop.start('30s');
      serials = { client: await shop.serial('reviews-v1'), details: await shop.serial('details') };
      steady = new Traffic(() => shop.call('details', '/details/0'));
    });
    afterAll(async () => {
      await steady?.stop();
      await shop.mesh.stop();
    });

    it('moves a canary from 90/10 over 50/50 to 0/100 while requests flow', async () => {
      const flow = new Traffic(() => shop.call('reviews', '/reviews/0'));
      for (const share of [0.1, 0.5, 1]) {
        const weights = [1 - share, share].map((part) => Math.round(part * 100));
        await shop.route(
          'reviews',
          `{ route: [{ destination: { host: reviews, subset: v1 }, weight: ${weights[0]} }, { destination: { host: reviews, subset: v3 }, weight: ${weights[1]} }] }`,
        );
        const counts = await shop.versions(CALLS);
        expect(counts.get('v2')).toBeUndefined();
        expect(Math.abs((counts.get('v3') ?? 0) - CALLS * share)).toBeLessThanOrEqual(spread(share));
      }
      await flow.stop();
      expect(flow.failures).toEqual([]);
      expect(flow.good).toBeGreaterThan(0);
    });

    it('runs virtual hosts that came one by one, also after a change of one', async () => {
      type Dumped = { type: string; resources: { name: string; virtualHosts?: unknown; vhds?: unknown }[] };
      const dumped = async (type: string) => {
        const { configs } = (await shop.admin('client', '/config_dump')).json<{ configs: Dumped[] }>();
        return configs.find((one) => one.type === type)!.resources;
      };
      for (const config of await dumped('routes')) {
        expect(config.vhds).toBeDefined();
        expect(config.virtualHosts).toBeUndefined();
      }
      const before = new Map((await dumped('virtualHosts')).map((host) => [host.name, JSON.stringify(host)]));
      await shop.route('reviews', '{ route: [{ destination: { host: reviews, subset: v2 } }] }');
      expect(await shop.versions(20)).toEqual(new Map([['v2', 20]]));
      const after = await dumped('virtualHosts');
      const changed = after.filter((host) => before.get(host.name) !== JSON.stringify(host)).map(({ name }) => name);
      // On demand, what the client did not use is not there.
      const reviews = [...before.keys()].filter((name) => name.endsWith('/reviews.default.svc.cluster.local:9080'));
      expect(reviews).toContain('http_proxy/reviews.default.svc.cluster.local:9080');
      expect(changed.sort()).toEqual(reviews.sort());
    });

    it('routes by the end-user header', async () => {
      await shop.route(
        'reviews',
        '{ match: [{ headers: { end-user: { exact: jason } } }], route: [{ destination: { host: reviews, subset: v2 } }] }, { route: [{ destination: { host: reviews, subset: v1 } }] }',
      );
      expect(await shop.versions(20, { 'end-user': 'jason' })).toEqual(new Map([['v2', 20]]));
      expect(await shop.versions(20, { 'end-user': 'jasonx' })).toEqual(new Map([['v1', 20]]));
      expect(await shop.versions(20)).toEqual(new Map([['v1', 20]]));
    });

    it('tells every hop who called', async () => {
      await shop.route('reviews', '{ route: [{ destination: { host: reviews, subset: v2 } }] }');
      const forged = { 'x-forwarded-client-cert': `URI=${PRINCIPAL}admin` };
      const answer = (await shop.call('reviews', '/reviews/0', forged)).json<{
        caller: string;
        ratings: { body: { caller: string } };
      }>();
      expect(answer.caller).toBe(`${PRINCIPAL}front`);
      expect(answer.ratings.body.caller).toBe(`${PRINCIPAL}reviews`);
    });

    it('refuses an endpoint with another identity than expected', async () => {
      // The address is that of echo, whose certificate says so, whatever the endpoint claims.
      const { address } = shop.workload('echo');
      const vault = (serviceAccount: string) =>
        yaml(meshService('vault'), workloadEntry('vault', address, { serviceAccount }));
      await shop.mesh.apply(vault('vault'));
      await until('the client knows the host', async () => {
        await shop.use('vault');
        return (await shop.admin('client', '/config_dump')).body.includes(`${PRINCIPAL}vault`);
      });
      for (let i = 0; i < 20; i++) {
        const answer = await shop.call('vault', '/');
        expect([answer.status, answer.body]).toEqual([503, expect.stringContaining('upstream connect error')]);
      }
      await shop.mesh.apply(vault('echo'));
      await until('echo is who it should be', async () => (await shop.call('vault', '/')).status === 200);
      await shop.mesh.remove(vault('echo'));
    });

    it('denies what no AuthorizationPolicy allows, or one denies, and logs why', async () => {
      const denied = await shop.call('ratings', '/ratings/0');
      expect([denied.status, denied.body]).toEqual([403, 'RBAC: access denied']);
      const none = await shop.logged('ratings', (entry) => entry['response_code'] === 403);
      expect(none['response_code_details']).toBe('rbac_access_denied_matched_policy[none]');

      const policy = yaml(
        authorizationPolicy('no-secrets', 'echo', {
          action: 'DENY',
          rules: [{ to: [{ operation: { paths: ['/secret*'] } }] }],
        }),
      );
      await shop.mesh.apply(policy);
      await shop.runs('echo', 'policy[no-secrets]');
      // The client's sidecar keeps its connections open: the very next request on each meets the policy.
      for (let i = 0; i < 20; i++) expect((await shop.call('echo', '/secret/1')).status).toBe(403);
      expect((await shop.call('echo', '/public')).status).toBe(200);
      const entry = await shop.logged(
        'echo',
        ({ response_code, path }) => response_code === 403 && path === '/secret/1',
      );
      expect(entry['response_code_details']).toBe(
        'rbac_access_denied_matched_policy[ns[default]-policy[no-secrets]-rule[0]]',
      );
      await shop.mesh.remove(policy);
      await until('the policy is gone', async () => (await shop.call('echo', '/secret/1')).status === 200);
    });

    it('refuses plaintext when STRICT, takes both when PERMISSIVE', async () => {
      await expect(shop.plaintext('echo')).rejects.toThrow();
      const permissive = yaml(peerAuthentication('PERMISSIVE', 'echo'));
      await shop.mesh.apply(permissive);
      const plain = await until('plaintext is taken', () => shop.plaintext('echo'));
      expect(plain.status).toBe(200);
      expect(plain.json<{ headers: object }>().headers).not.toHaveProperty('x-forwarded-client-cert');
      const mutual = (await shop.call('echo', '/')).json<{ headers: Record<string, string> }>();
      expect(mutual.headers['x-forwarded-client-cert']).toContain(`URI=${PRINCIPAL}front`);
      await shop.mesh.remove(permissive);
      await until('plaintext is refused again', () =>
        shop.plaintext('echo').then(
          () => false,
          () => true,
        ),
      );
      await expect(shop.plaintext('details')).rejects.toThrow();
    });

    it('passes trace context on: W3C and B3, in one header and in many', async () => {
      const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
      const context = {
        traceparent: `00-${trace}-00f067aa0ba902b7-01`,
        tracestate: 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE',
        baggage: 'user=kim',
        b3: `${trace}-00f067aa0ba902b7-1-05e3ac9a4f6e3b90`,
        'x-b3-traceid': trace,
        'x-b3-spanid': '00f067aa0ba902b7',
        'x-b3-parentspanid': '05e3ac9a4f6e3b90',
        'x-b3-sampled': '1',
        'x-b3-flags': '1',
        'x-request-id': '5d7a5f3e-1111-4222-8333-944445555666',
      };
      const { headers } = (await shop.call('echo', '/', context)).json<{ headers: Record<string, string> }>();
      expect(headers).toMatchObject(context);
    });

    it('keeps key, certificate and config on disk for its user alone', () => {
      for (const name of shop.mesh.workloads.keys()) {
        expect(['', 'config.journal', 'identity.json'].map((file) => shop.mode(name, file))).toEqual([
          '700',
          '600',
          '600',
        ]);
      }
    });

    it('counts requests at source and destination', async () => {
      await shop.call('echo', '/counted');
      const series = async (name: string, wanted: Record<string, string>) => {
        const text = (await shop.admin(name, '/metrics')).body;
        const lines = text.split('\n').filter((line) => line.startsWith('istio_requests_total{'));
        const found = lines.find((line) =>
          Object.entries(wanted).every(([label, value]) => line.includes(`${label}="${value}"`)),
        );
        if (!found) throw new Error(`no series ${JSON.stringify(wanted)} in\n${lines.join('\n')}`);
        return Number(found.slice(found.lastIndexOf(' ')));
      };
      const common = {
        destination_service: 'echo.default.svc.cluster.local',
        // Istio's too: a service of a ServiceEntry is named by its host.
        destination_service_name: 'echo.default.svc.cluster.local',
        destination_service_namespace: 'default',
        destination_workload: 'echo',
        destination_version: 'v1',
        request_protocol: 'http',
        response_code: '200',
        response_flags: '-',
      };
      const source = { ...common, reporter: 'source', source_workload: 'client', source_app: 'front' };
      const destination = {
        ...common,
        reporter: 'destination',
        source_principal: `${PRINCIPAL}front`,
        destination_principal: `${PRINCIPAL}echo`,
        connection_security_policy: 'mutual_tls',
      };
      const metrics = (await shop.admin('echo', '/metrics')).body;
      for (const name of ['request_duration_milliseconds', 'request_bytes', 'response_bytes'])
        expect(metrics).toMatch(new RegExp(`^istio_${name}_bucket\\{.*reporter="destination".*le="`, 'm'));
      const before = [await series('client', source), await series('echo', destination)];
      for (let i = 0; i < 10; i++) await shop.call('echo', '/counted');
      await until('both have counted ten', async () => {
        const after = [await series('client', source), await series('echo', destination)];
        return after.every((count, side) => count === before[side]! + 10);
      });
    });

    it('applies timeouts, retries, faults, redirects, rewrites, mirrors and header operations', async () => {
      const to = 'route: [{ destination: { host: echo } }]';
      const at = (prefix: string) => `match: [{ uri: { prefix: ${prefix} } }]`;
      await shop.route(
        'echo',
        [
          `{ ${at('/slow')}, timeout: 0.2s, ${to} }`,
          `{ ${at('/flaky')}, retries: { attempts: 3, retryOn: 5xx }, ${to} }`.replace(', backoff: 25ms', ''),
          `{ ${at('/abort')}, fault: { abort: { httpStatus: 418, percentage: { value: 100 } } }, ${to} }`,
          `{ ${at('/delay')}, fault: { delay: { fixedDelay: 0.3s, percentage: { value: 100 } } }, ${to} }`,
          `{ ${at('/old')}, redirect: { uri: /new, authority: elsewhere.example, redirectCode: 308 } }`,
          `{ ${at('/before/')}, rewrite: { uri: /after/ }, ${to} }`,
          `{ ${at('/mirrored')}, mirror: { host: reviews, subset: v3 }, mirrorPercentage: { value: 100 }, ${to} }`,
          `{ headers: { request: { set: { x-set: a }, add: { x-add: b }, remove: [x-gone] }, response: { set: { x-answer: c }, remove: [x-from-app] } }, ${to} }`,
        ].join(', '),
      );
      const slow = await shop.call('echo', '/slow');
      expect([slow.status, slow.body]).toEqual([504, 'upstream request timeout']);
      const flaky = await shop.call('echo', '/flaky/2/a');
      expect([flaky.status, flaky.json()['calls']]).toEqual([200, 3]);
      const aborted = await shop.call('echo', '/abort');
      expect([aborted.status, aborted.body]).toEqual([418, 'fault filter abort']);
      const started = performance.now();
      expect((await shop.call('echo', '/delay')).status).toBe(200);
      expect(performance.now() - started).toBeGreaterThanOrEqual(295);
      const moved = await shop.call('echo', '/old/page');
      expect([moved.status, moved.headers['location']]).toEqual([308, 'http://elsewhere.example/new']);
      expect((await shop.call('echo', '/before/x?y=1')).json()['path']).toBe('/after/x?y=1');
      const mirrored = `/mirrored/${Date.now()}`;
      expect((await shop.call('echo', mirrored)).status).toBe(200);
      const copy = await shop.logged('reviews-v3', ({ path }) => path === mirrored);
      // istiod turns Envoy's "-shadow" suffix off (DISABLE_SHADOW_HOST_SUFFIX).
      expect(copy['authority']).toBe('echo:9080');
      const operated = await shop.call('echo', '/headers', { 'x-set': 'mine', 'x-gone': 'mine' });
      const { headers } = operated.json<{ headers: Record<string, string> }>();
      expect(headers).toMatchObject({ 'x-set': 'a', 'x-add': 'b' });
      expect(headers).not.toHaveProperty('x-gone');
      expect(operated.headers).toMatchObject({ 'x-answer': 'c' });
      expect(operated.headers).not.toHaveProperty('x-from-app');
      await shop.unroute('echo');
    });

    describe.skipIf(!existsSync(BOOKINFO))("Istio's Bookinfo files, unmodified (../shared/reference)", () => {
      const file = (name: string) => readFileSync(`${BOOKINFO}/${name}.yaml`, 'utf8');
      const soon = (what: string, user: string | undefined, version: string) =>
        until(what, async () => (await shop.versions(8, user ? { 'end-user': user } : {})).get(version) === 8);

      it('routes as documented', async () => {
        await shop.mesh.apply(file('destination-rule-all'));
        await shop.mesh.apply(file('virtual-service-all-v1'));
        await soon('all traffic to v1', undefined, 'v1');
        expect(await shop.versions(40)).toEqual(new Map([['v1', 40]]));
        await shop.mesh.apply(file('virtual-service-reviews-v3'));
        await soon('all traffic to v3', undefined, 'v3');
        expect(await shop.versions(40)).toEqual(new Map([['v3', 40]]));
        await shop.mesh.apply(file('virtual-service-reviews-jason-v2-v3'));
        await soon('jason to v2', 'jason', 'v2');
        expect(await shop.versions(20, { 'end-user': 'jason' })).toEqual(new Map([['v2', 20]]));
        expect(await shop.versions(20)).toEqual(new Map([['v3', 20]]));
      });

      it('injects faults into ratings for jason alone', async () => {
        const ratings = async (user: string) => {
          const started = performance.now();
          const answer = await shop.call('reviews', '/reviews/0', { 'end-user': user });
          const { status } = answer.json<{ ratings: { status: number } }>().ratings;
          return { status, took: performance.now() - started };
        };
        await shop.mesh.apply(file('virtual-service-ratings-test-abort'));
        await until('jason meets the abort', async () => (await ratings('jason')).status === 500);
        expect((await ratings('anna')).status).toBe(200);
        await shop.mesh.apply(file('virtual-service-ratings-test-delay'));
        for (const version of ['v2', 'v3']) await shop.runs(`reviews-${version}`, '"fixedDelay": "7s"');
        const [jason, anna] = await Promise.all([ratings('jason'), ratings('anna')]);
        expect(jason.status).toBe(200);
        expect(jason.took).toBeGreaterThanOrEqual(6990);
        expect(anna.status).toBe(200);
        expect(anna.took).toBeLessThan(6000);
      });
    });

    it('serves on while the control plane is killed and started again, also a proxy restarted meanwhile', async () => {
      await shop.route('reviews', '{ route: [{ destination: { host: reviews, subset: v1 } }] }');
      const flow = new Traffic(() => shop.call('reviews', '/reviews/0'));
      await shop.mesh.control.stop('SIGKILL');
      await shop.mesh.restartProxy('echo');
      expect((await shop.call('echo', '/from-disk')).status).toBe(200);
      await expect(shop.plaintext('echo')).rejects.toThrow();
      await shop.mesh.startControl({ svidTtl: '30s' });
      await shop.route('reviews', '{ route: [{ destination: { host: reviews, subset: v2 } }] }');
      expect(await shop.versions(20)).toEqual(new Map([['v2', 20]]));
      await flow.stop();
      expect(flow.failures).toEqual([]);
      expect(flow.good).toBeGreaterThan(0);
    });

    it('has rotated certificates by now, and no steady request has ever failed', async () => {
      await until(
        'details presents another certificate',
        async () => (await shop.serial('details')) !== serials.details,
      );
      await until('reviews too', async () => (await shop.serial('reviews-v1')) !== serials.client);
      // Calls after the rotation count as well.
      const { good } = steady;
      await until('more calls', () => steady.good > good + 20 || steady.failures.length > 0);
      expect(steady.failures).toEqual([]);
    });
  });
}
