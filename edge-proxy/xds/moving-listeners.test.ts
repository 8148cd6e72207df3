import { expect, it } from 'vitest';
import { HTTP_FILTERS } from '../http/filters/index.ts';
import { Admission } from '../overload/admission.ts';
import { OverloadState } from '../overload/overload-state.ts';
import { currentRuntime } from '../runtime/index.ts';
import { Stats } from '../telemetry/stats.ts';
import { type Compilers, RunningConfig } from './apply.ts';
import { filterRegistry } from './filter/filter-registry.ts';

const listener = (address: string, statPrefix: string) => ({
  name: 'l',
  address: { socketAddress: { address, portValue: 0 } },
  filterChains: [
    {
      filters: [
        {
          name: 'tcp',
          typedConfig: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
            statPrefix,
            cluster: 'c',
          },
        },
      ],
    },
  ],
});

it('a listener that gets another address is compiled once, and refused where it is', async () => {
  let compiled = 0;
  const compilers = {
    filters: filterRegistry(HTTP_FILTERS),
    httpProxy: () => undefined,
    connectionLog: () => undefined,
    connectionObservers: () => {
      compiled++;
      return [];
    },
  } as unknown as Compilers;
  const runtime = currentRuntime();
  const admission = new Admission(new Stats(), new OverloadState(() => 0), undefined, 1);
  const config = new RunningConfig(
    runtime,
    compilers,
    () => false,
    () => {},
    admission,
  );
  const apply = (resource: object) => config.apply({ listeners: { upsert: [resource], remove: [] } });
  const bound = () => config.listeners.get('l')?.server.bound?.address;
  try {
    expect([...(await apply(listener('127.0.0.1', 'one')))]).toEqual([]);
    expect([bound(), compiled]).toEqual(['127.0.0.1', 1]);
    expect([...(await apply(listener('127.0.0.2', 'two')))]).toEqual([]);
    expect([bound(), compiled]).toEqual(['127.0.0.2', 2]);
    const refused = await apply({ ...listener('127.0.0.3', 'three'), filterChains: [] });
    expect([[...refused.keys()], bound()]).toEqual([['listeners/l'], '127.0.0.2']);
  } finally {
    await config.apply({ listeners: { upsert: [], remove: ['l'] } });
  }
});
