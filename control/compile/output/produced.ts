/** What generators produce, with where it comes from: patches choose by origin. */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { ResourceType, XdsResource } from '../../../shared/xds/discovery.ts';
import type { MeshService } from '../../mesh/view.ts';

/** Istio's contexts of a patch (EnvoyFilter `context`), and what the resource is about. */
export interface Origin {
  readonly side: 'inbound' | 'outbound' | 'gateway';
  readonly service?: MeshService | undefined;
  /** Service port, or the port a listener or route configuration is for. */
  readonly port?: number | undefined;
  /** The services that an inbound cluster serves. */
  readonly hosts?: readonly string[] | undefined;
  /** The VirtualService or Gateway that shaped it. */
  readonly owner?: Resource | undefined;
}

export interface Produced<T extends ResourceType = ResourceType> {
  readonly type: T;
  readonly resource: XdsResource[T];
  readonly origin: Origin;
}

export function produced<T extends ResourceType>(type: T, resource: XdsResource[T], origin: Origin): Produced<T> {
  return Object.freeze({ type, resource, origin });
}
