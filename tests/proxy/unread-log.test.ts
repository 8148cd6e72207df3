/** A proxy whose output is no longer read, as under `tulle proxy | head`, on every runtime. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { until } from '../kit/waiting.ts';
import { ANY, at, hcm, listener } from './bootstrap.ts';

describe.each(RUNTIMES)('a log without a reader on %s', (runtime) => {
  const folder = temporaryFolder();
  let proxy: ProxyProcess;
  const ask = async () => {
    const answer = await fetch(`http://127.0.0.1:${proxy.ports['web']}/`);
    await answer.arrayBuffer();
    return answer.status;
  };

  beforeAll(async () => {
    const manager = hcm('nowhere');
    const routes = [{ match: { prefix: '/' }, direct_response: { status: 200 } }];
    const logTo = (log: string) => ({
      name: log,
      typed_config: { '@type': `${ANY}envoy.extensions.access_loggers.stream.v3.${log}AccessLog` },
    });
    Object.assign(manager.typed_config, {
      access_log: [logTo('Stdout'), logTo('Stderr')],
      route_config: { name: 'local', virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
    });
    const config = { static_resources: { listeners: [listener('web', [manager])] }, admin: { address: at(0) } };
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), config);
    await proxy.ready();
  });
  afterAll(async () => {
    await proxy.stop('SIGKILL');
    folder.dispose();
  });

  it('keeps serving, and stops on SIGTERM', async () => {
    expect(await ask()).toBe(200);
    await until('both logs are read', () => (proxy.output.match(/ 200 /g) ?? []).length >= 2);
    proxy.process.stdout!.destroy();
    proxy.process.stderr!.destroy();
    for (let i = 0; i < 50; i++) expect(await ask()).toBe(200);
    expect((await proxy.admin('/ready')).body).toBe('LIVE\n');
    proxy.process.kill('SIGTERM');
    expect(await proxy.exited).toBe(0);
  });
});
