import { checkProxyConfig } from '../checks/proxy-config.ts';
import { AGE } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { ProxyConfigSpec } from '../schema/proxy-config.ts';
import { defineIstioKind } from './istio-kind.ts';

export const proxyConfig = defineIstioKind({
  kind: 'ProxyConfig',
  group: 'networking.istio.io',
  versions: ['v1beta1'],
  plural: 'proxyconfigs',
  shortNames: [],
  spec: ProxyConfigSpec,
  columns: [AGE],
  description: 'Settings of the proxies of some workloads, a namespace or the mesh.',
  check: checkProxyConfig,
});
export type ProxyConfig = ResourceOf<typeof proxyConfig>;
