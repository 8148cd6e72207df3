/** A real Prometheus finds the proxies that serve metrics, and scrapes them. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ControlApi } from '../../control/cli/connection.ts';
import { RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import { run, works } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

const PROMETHEUS = works('prometheus');
if (!PROMETHEUS) console.warn('skipped: prometheus is not installed; its discovery and scrapes are not tested');

interface ActiveTarget {
  readonly labels: Readonly<Record<string, string>>;
  readonly health: string;
  readonly lastError: string;
  readonly scrapeUrl: string;
}

const mesh = new LoopbackMesh();
const PORT = 15090;
const addresses = new Map<string, string>();
beforeAll(async () => {
  await mesh.startControl();
  await Promise.all(
    RUNTIMES.map((runtime) => {
      const address = mesh.address();
      addresses.set(runtime, address);
      const labels = { app: runtime };
      const flags = ['--stats-address', address];
      return mesh.start({ name: runtime, serviceAccount: 'web', labels, runtime, flags }, address);
    }),
  );
  await mesh.start({ name: 'silent', serviceAccount: 'web', labels: { app: 'silent' }, runtime: 'node' });
});
afterAll(() => mesh.stop());

const tulle = async (...args: string[]) => {
  const flags = ['--server', mesh.url, '--ca-file', mesh.trustBundleFile, '--token', mesh.adminToken];
  const done = await run(process.execPath, ['control/cli/bin.mjs', ...args, ...flags]);
  expect(done, done.error).toMatchObject({ code: 0 });
  return done.out.trim();
};

describe.each(RUNTIMES)('the metrics of a proxy on %s', (runtime) => {
  const fetchStats = (path: string, method = 'GET') =>
    fetch(`http://${addresses.get(runtime)}:${PORT}${path}`, { method });

  it('are served at its address, and nothing else is', async () => {
    for (const path of ['/stats/prometheus', '/metrics']) {
      const answer = await fetchStats(path);
      expect([answer.status, answer.headers.get('content-type')]).toEqual([
        200,
        'text/plain; version=0.0.4; charset=utf-8',
      ]);
      expect(await answer.text()).toContain('# TYPE ');
    }
    for (const path of ['/ready', '/config_dump', '/certs', '/stats', '/', '/metrics/../config_dump'])
      expect([path, (await fetchStats(path)).status]).toEqual([path, 404]);
    expect((await fetchStats('/quitquitquit', 'POST')).status).toBe(404);
    expect((await fetchStats('/metrics', 'POST')).status).toBe(404);
  });
});

it.skipIf(!PROMETHEUS)('Prometheus scrapes all of them, and what stopped is no target any more', async () => {
  const folder = join(mesh.folder, 'prometheus');
  await mkdir(folder);
  const token = await tulle('token', 'create', '--scrape');
  await writeFile(join(folder, 'token'), token, { mode: 0o600 });
  await writeFile(
    join(folder, 'prometheus.yml'),
    `global: { scrape_interval: 1s }
scrape_configs:
  - job_name: tulle
    http_sd_configs:
      - url: ${mesh.url}/v1/prometheus/targets
        refresh_interval: 1s
        authorization: { type: Bearer, credentials_file: ${folder}/token }
        tls_config: { ca_file: ${mesh.trustBundleFile} }
`,
  );
  await chmod(folder, 0o700);
  const [port] = await freePorts(1);
  mesh.launch('prometheus', [
    'prometheus',
    `--config.file=${folder}/prometheus.yml`,
    `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]);
  const ask = async <T>(path: string): Promise<T | undefined> => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`).catch(() => undefined);
    return answer?.ok ? ((await answer.json()) as { data: T }).data : undefined;
  };
  const targets = async () => (await ask<{ activeTargets: ActiveTarget[] }>('targets'))?.activeTargets ?? [];
  await until('all are scraped', async () => {
    const states = (await targets()).map(({ scrapeUrl, health, lastError }) => `${scrapeUrl} ${health} ${lastError}`);
    if (states.some((state) => !state.includes(' up '))) throw new Error(states.join(', '));
    return states.length === RUNTIMES.length;
  });
  const found = (await targets()).map(({ scrapeUrl, labels }) => ({ scrapeUrl, ...labels }));
  expect(found).toHaveLength(RUNTIMES.length);
  for (const runtime of RUNTIMES)
    expect(found).toContainEqual({
      scrapeUrl: `http://${addresses.get(runtime)}:${PORT}/metrics`,
      job: 'tulle',
      instance: `${addresses.get(runtime)}:${PORT}`,
      namespace: 'default',
      service_account: 'web',
      workload: runtime,
      version: '0.1.0',
      runtime,
      node: `sidecar~${addresses.get(runtime)}~${runtime}.default~default.svc.cluster.local`,
    });
  const series = await ask<{ result: unknown[] }>(`query?query=${encodeURIComponent('up{namespace="default"} == 1')}`);
  expect(series?.result).toHaveLength(RUNTIMES.length);

  await mesh.workloads.get('node')!.proxy.stop();
  await until('the stopped one has gone', async () =>
    (await targets()).every(({ labels }) => labels['runtime'] !== 'node'),
  );
  const scraper = new ControlApi(mesh.url, token, mesh.trustBundle);
  const statusWith = async (path: string) => (await scraper.request('GET', path)).status;
  expect(await statusWith('/v1/prometheus/targets')).toBe(200);
  for (const path of ['/v1/proxies', '/v1/join-tokens', '/api/v1/namespaces'])
    expect([path, await statusWith(path)]).toEqual([path, 401]);
  await tulle('token', 'revoke', '--scrape');
  expect(await statusWith('/v1/prometheus/targets')).toBe(401);
});
