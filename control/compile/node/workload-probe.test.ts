import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Probe } from '../../../shared/resources/schema/workload-group.ts';
import { buildView } from '../../mesh/build-view.ts';
import { notCompiled } from './not-compiled.ts';
import { proxyConfigAnswer } from './proxy-config.ts';
import { workloadProbe } from './workload-probe.ts';

const TIMES = {
  initialDelaySeconds: 0,
  periodSeconds: 10,
  timeoutSeconds: 1,
  successThreshold: 1,
  failureThreshold: 3,
};
const local = { address: '127.0.0.1', port: 8080 };

describe('what a proxy asks its workload', () => {
  it.each<[Probe, object | undefined]>([
    [{ httpGet: { port: 8080 } }, { http: { ...local, path: '/', host: '127.0.0.1', headers: [] }, ...TIMES }],
    [
      {
        httpGet: {
          port: 8080,
          path: 'ready',
          host: '10.0.0.5',
          scheme: 'HTTP',
          httpHeaders: [
            { name: 'Host', value: 'a.example' },
            { name: 'x-a', value: 'b' },
          ],
        },
        initialDelaySeconds: 5,
        periodSeconds: 2,
        timeoutSeconds: 3,
        successThreshold: 4,
        failureThreshold: 6,
      },
      {
        http: { address: '10.0.0.5', port: 8080, path: '/ready', host: 'a.example', headers: [['x-a', 'b']] },
        initialDelaySeconds: 5,
        periodSeconds: 2,
        timeoutSeconds: 3,
        successThreshold: 4,
        failureThreshold: 6,
      },
    ],
    [{ tcpSocket: { port: 8080, host: 'localhost' } }, { tcp: local, ...TIMES }],
    [{ grpc: { port: 8080, service: 'a.B' } }, { grpc: { ...local, service: 'a.B' }, ...TIMES }],
    [
      { tcpSocket: { port: 8080 }, periodSeconds: 0 },
      { tcp: local, ...TIMES },
    ],
    [
      { httpGet: { port: 8080, scheme: 'HTTPS' } },
      { http: { ...local, path: '/', host: '127.0.0.1', headers: [], tls: true }, ...TIMES },
    ],
    [{ tcpSocket: { port: 8080, host: 'db.example' } }, undefined],
    [{ exec: { command: ['test', '-e', '/ready'] } }, { exec: { command: ['test', '-e', '/ready'] }, ...TIMES }],
    [{ exec: { command: [] } }, undefined],
    [{}, undefined],
  ])('%j', (probe, expected) => expect(workloadProbe(probe)).toEqual(expected));

  it('is that of the WorkloadGroup that describes it', () => {
    const group: Resource = {
      apiVersion: 'networking.istio.io/v1',
      kind: 'WorkloadGroup',
      metadata: { name: 'web', namespace: 'shop' },
      spec: { template: { serviceAccount: 'web', labels: { app: 'web' } }, probe: { tcpSocket: { port: 8080 } } },
    };
    const answer = (app: string) =>
      proxyConfigAnswer(buildView([group], 1), {
        id: 'sidecar~10.0.0.1~x.shop~shop.svc.cluster.local',
        metadata: { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'web', LABELS: { app }, INTERCEPTION_MODE: 'NONE' },
      }).probe;
    expect(answer('web')).toEqual({ tcp: local, ...TIMES });
    expect(answer('other')).toBeUndefined();
  });

  it.each<[Probe, string[]]>([
    [{ exec: { command: ['true'] } }, []],
    [{ httpGet: { port: 1, scheme: 'HTTPS', host: 'a.example' } }, ['spec.probe.httpGet.host']],
    [{ tcpSocket: { port: 1, host: '::1' } }, []],
    [{ grpc: { port: 1 } }, []],
  ])('%j: what is not asked is reported', (probe, paths) => {
    const group: Resource = {
      apiVersion: 'networking.istio.io/v1',
      kind: 'WorkloadGroup',
      metadata: { name: 'web' },
      spec: { template: {}, probe },
    };
    expect(notCompiled(group).map(({ path }) => path)).toEqual(paths);
  });
});
