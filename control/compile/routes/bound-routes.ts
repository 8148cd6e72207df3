/** The routes that one sort of xDS resource is made of: others may change, and the list stays the same object. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { namespaceOf } from '../../mesh/fields.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import { generator, sharedList } from '../memo.ts';
import { joinedByHost } from './precedence.ts';

interface Listed {
  readonly list: readonly RouteForm[];
}

const isBoundToMesh = ({ gateways }: RouteForm): boolean => gateways.includes('mesh');

/** Those that apply to sidecars, joined by host. */
export const meshRoutes = generator<Listed, readonly RouteForm[]>({ list: true }, ({ list }) =>
  sharedList(joinedByHost(list.filter(isBoundToMesh))),
);

/** Those of connections of sidecars. */
export const meshConnectionRoutes = generator<Listed, readonly RouteForm[]>({ list: true }, ({ list }) =>
  sharedList(list.filter((form) => isBoundToMesh(form) && form.tcp.length + form.tls.length > 0)),
);

/** Those bound to one of `gateways`. */
export const gatewayRoutes = generator<Listed & { readonly gateways: readonly Resource[] }, readonly RouteForm[]>(
  { list: true, gateways: true },
  ({ list, gateways }) => {
    const names = new Set(gateways.map((gateway) => `${namespaceOf(gateway)}/${gateway.metadata.name}`));
    return sharedList(list.filter((form) => form.gateways.some((name) => names.has(name))));
  },
);
