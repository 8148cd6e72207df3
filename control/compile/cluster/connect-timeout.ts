/** How long a proxy waits for a connection to an endpoint. */
import type { MeshSettings } from '../../mesh/view.ts';

/** MeshConfig.connectTimeout as a duration; Istio's default without one. A DestinationRule may say otherwise. */
export function connectTimeout(settings: Pick<MeshSettings, 'connectTimeout'>): string {
  return settings.connectTimeout ?? '10s';
}
