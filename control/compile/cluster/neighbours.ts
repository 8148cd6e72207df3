/** Other workloads at the addresses of a service: they share its listeners. */
import type { MeshEndpoint, MeshService, MeshView } from '../../mesh/view.ts';
import { sharedList } from '../memo.ts';
import type { MtlsModes } from '../security/peer-authentication.ts';

const NONE: readonly MeshEndpoint[] = Object.freeze([]);

/** Endpoints of all services of the namespace at the addresses of `service`; none where no mode asks for them. */
export function neighboursOf(view: MeshView, service: MeshService, mtls: MtlsModes): readonly MeshEndpoint[] {
  if (!mtls.mayDisable) return NONE;
  const addresses = new Set(view.endpoints(service).map(({ address }) => address));
  const services = new Set([...addresses].flatMap((address) => view.servicesAt(address)));
  if (services.size === 0) return NONE;
  return sharedList(
    [...services]
      .filter(({ namespace }) => namespace === service.namespace)
      .flatMap((other) => view.endpoints(other).filter(({ address }) => addresses.has(address))),
  );
}
