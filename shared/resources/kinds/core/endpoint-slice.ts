import type { z } from 'zod';
import { isIpAddress } from '../../../match/cidr.ts';
import { AGE, column } from '../../describe/columns.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { EndpointSliceBody } from '../../schema/core.ts';
import { Report } from '../../violations.ts';

type Body = z.infer<typeof EndpointSliceBody>;

export const endpointSlice = defineKind({
  kind: 'EndpointSlice',
  group: 'discovery.k8s.io',
  versions: ['v1'],
  plural: 'endpointslices',
  singular: 'endpointslice',
  shortNames: [],
  categories: [],
  namespaced: true,
  body: EndpointSliceBody,
  check: (resource) => {
    const report = new Report();
    for (const [i, endpoint] of resource.endpoints.entries()) {
      for (const [j, address] of endpoint.addresses.entries()) {
        const ip = isIpAddress(address);
        const fits =
          resource.addressType === 'FQDN' ? !ip : ip && address.includes(':') === (resource.addressType === 'IPv6');
        if (fits) continue;
        const path = `endpoints[${i}].addresses[${j}]`;
        report.violation(path, 'endpointslice.address', `"${address}" is not of address type ${resource.addressType}`);
      }
    }
    const names = (resource.ports ?? []).map((port) => port.name ?? '');
    names.forEach((name, i) => {
      if (names.indexOf(name) < i)
        report.violation(`ports[${i}].name`, 'endpointslice.port-name', `"${name}" is used twice`);
    });
    return report.findings;
  },
  columns: [
    column('AddressType', '.addressType', 'Type of the addresses'),
    {
      ...column('Ports', '.ports[*].port', 'Ports of the endpoints'),
      print: (slice) => some(((slice as unknown as Body).ports ?? []).map(({ port }) => (port ? String(port) : '*'))),
    },
    {
      ...column('Endpoints', '.endpoints[*].addresses[0]', 'Addresses'),
      print: (slice) => some(((slice as unknown as Body).endpoints ?? []).flatMap(({ addresses }) => addresses)),
    },
    AGE,
  ],
  description: 'Endpoints of a Service: the one it belongs to is named by label kubernetes.io/service-name.',
});
export type EndpointSlice = ResourceOf<typeof endpointSlice>;

/** At most three, as kubectl shows them. */
function some(texts: readonly string[]): string {
  if (texts.length === 0) return '<unset>';
  return texts.length > 3 ? `${texts.slice(0, 3).join(',')} + ${texts.length - 3} more...` : texts.join(',');
}
