/**
 * The TCP ports that workloads of a proxy's host serve. Without capture no outbound listener may have one of them: the
 * application could not listen there, not even at another address where it takes all of them, and where it is away the
 * inbound side would hand its traffic to the outbound side.
 */
import type { MeshView } from '../../mesh/view.ts';
import type { ProxyView } from '../scope/proxy.ts';
import type { InboundPort } from '../sidecar/inbound-ports.ts';

/** Service ports, the ports at which the workloads are reached, and those of the applications themselves. */
export function servedPorts(
  view: MeshView,
  proxy: Pick<ProxyView, 'ips' | 'appPorts'>,
  inbound: readonly Pick<InboundPort, 'port' | 'servicePort' | 'app'>[],
): ReadonlySet<number> {
  const ports = new Set<number>(Object.values(proxy.appPorts));
  for (const { port, servicePort, app } of inbound) {
    ports.add(port).add(servicePort);
    if (app && 'port' in app) ports.add(app.port);
  }
  for (const service of new Set(proxy.ips.flatMap((ip) => view.servicesAt(ip)))) {
    const tcp = new Set(service.ports.filter(({ protocol }) => protocol !== 'UDP').map(({ number }) => number));
    for (const { address, port, servicePort } of view.endpoints(service))
      if (proxy.ips.includes(address) && tcp.has(servicePort)) ports.add(port).add(servicePort);
  }
  return ports;
}
