/** The VirtualServices that one sort of resource is made of: others may change, and it stays the same object. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { namespaceOf, specOf, strings } from '../../mesh/fields.ts';
import { generator, sharedList } from '../memo.ts';
import { boundToMesh } from './routes.ts';
import { resolveGatewayName } from './virtual-service-match.ts';

interface Listed {
  readonly list: readonly Resource[];
}

/** Those that apply to sidecars. */
export const meshVirtualServices = generator<Listed, readonly Resource[]>({ list: true }, ({ list }) =>
  sharedList(list.filter(boundToMesh)),
);

/** Those that apply to the connections of sidecars: with `tcp` or `tls` rules. */
export const meshConnectionServices = generator<Listed, readonly Resource[]>({ list: true }, ({ list }) =>
  sharedList(
    list.filter((vs) => boundToMesh(vs) && (specOf(vs)['tcp'] !== undefined || specOf(vs)['tls'] !== undefined)),
  ),
);

/** Those bound to one of `gateways`. */
export const gatewayVirtualServices = generator<
  Listed & { readonly gateways: readonly Resource[] },
  readonly Resource[]
>({ list: true, gateways: true }, ({ list, gateways }) => {
  const names = new Set(gateways.map((gateway) => `${namespaceOf(gateway)}/${gateway.metadata.name}`));
  return sharedList(
    list.filter((vs) =>
      strings(specOf(vs)['gateways']).some((name) => names.has(resolveGatewayName(name, namespaceOf(vs)))),
    ),
  );
});
