/** `--concurrency`: worker processes on one port, from one body on every runtime. */
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { at, cluster, hcm, listener } from './bootstrap.ts';

/** Child processes of a process (Linux). */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return state !== 'Z' && Number(parent) === pid;
      } catch {
        return false;
      }
    })
    .map(Number);
}
/** Bytes the process has read and written: it has done work. */
const cpuTicks = (pid: number) => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
};

describe.each(RUNTIMES)('two workers on %s', (runtime) => {
  const folder = temporaryFolder();
  let app: http.Server;
  let proxy: ProxyProcess;
  const get = async () => {
    const answer = await fetch(`http://127.0.0.1:${proxy.ports['web']}/`, { headers: { connection: 'close' } });
    return `${answer.status} ${await answer.text()}`;
  };
  const stat = async (name: string) =>
    Number(/: (\d+)/.exec((await proxy.admin(`/stats?filter=^${name.replaceAll('.', '\\.')}$`)).body)?.[1] ?? 'NaN');

  beforeAll(async () => {
    app = http.createServer(UPSTREAM, (_, w) => w.end('app'));
    const config = {
      static_resources: {
        listeners: [listener('web', [hcm('app')])],
        clusters: [cluster('app', await listening(app))],
      },
      admin: { address: at(0) },
    };
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), config, ['--concurrency', '2']);
    await proxy.ready();
  });

  afterAll(async () => {
    for (const pid of childrenOf(proxy.process.pid!)) process.kill(pid, 'SIGKILL');
    await proxy.stop('SIGKILL');
    app.closeAllConnections();
    app.close();
    folder.dispose();
  });

  it('share one port, and their counts are added up', async () => {
    const workers = childrenOf(proxy.process.pid!);
    expect(workers).toHaveLength(2);
    const before = workers.map(cpuTicks);
    let asked = 0;
    // The kernel deals connections out by a hash of their addresses: many go to both.
    await until('both have worked', async () => {
      for (let i = 0; i < 100; i++, asked++) expect(await get()).toBe('200 app');
      return workers.every((pid, i) => cpuTicks(pid) > before[i]!);
    });
    expect(await stat('http.test.downstream_rq_2xx')).toBe(asked);
    const metrics = (await proxy.admin('/metrics')).body;
    expect(metrics).toContain(`envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="test"} ${asked}\n`);
    expect(metrics).toContain('tulle_workers 2\n');
    const clusters = await proxy.admin('/clusters');
    expect(clusters.status).toBe(200);
    expect(clusters.body).toMatch(new RegExp(`^app::127\\.0\\.0\\.1:\\d+::rq_success::${asked}$`, 'm'));
    expect(JSON.parse((await proxy.admin('/clusters?format=json')).body)).toMatchObject({
      cluster_statuses: [{ name: 'app', host_statuses: [{ weight: 1 }] }],
    });
    expect(metrics).toContain('envoy_cluster_membership_total{cluster_name="app"} 1\n');
    expect((await proxy.admin('/listeners')).body).toContain(`:${proxy.ports['web']}`);
  });

  it('one that dies is replaced', async () => {
    const [first] = childrenOf(proxy.process.pid!);
    process.kill(first!, 'SIGKILL');
    await until('there is another', async () => {
      const now = childrenOf(proxy.process.pid!);
      return (
        now.length === 2 && !now.includes(first!) && (await proxy.admin('/metrics')).body.includes('tulle_workers 2\n')
      );
    });
    expect((await proxy.admin('/metrics')).body).toContain('tulle_worker_restarts_total 1\n');
    await until('it serves', async () => {
      for (let i = 0; i < 40; i++) if ((await get()) !== '200 app') return false;
      return true;
    });
  });

  it('all end with their parent', async () => {
    const workers = childrenOf(proxy.process.pid!);
    proxy.process.kill('SIGTERM');
    expect(await proxy.exited).toBe(0);
    await until('they are gone', () => workers.every((pid) => !childrenOf(1).includes(pid) && !isAlive(pid)));
  });
});

function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}
