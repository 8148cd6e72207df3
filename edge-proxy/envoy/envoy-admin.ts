/** Envoy's admin interface, as the agent beside it uses it (envoyproxy.io: "Administration interface"). */
import type { ListenerState } from '../admin/admin.ts';

const REQUEST_MS = 5000;

/** How often Envoy took and refused a subscription's updates. */
export interface UpdateCounts {
  readonly taken: number;
  readonly refused: number;
}

interface ListenersAnswer {
  listener_statuses?: {
    name: string;
    local_address: { socket_address?: { address: string; port_value: number }; pipe?: { path: string } };
  }[];
}

interface DynamicListeners {
  configs?: { name?: string; error_state?: { details?: string; last_update_attempt?: string } }[];
}

export class EnvoyAdmin {
  private readonly address: string;

  /** @param address `127.0.0.1:PORT` */
  constructor(address: string) {
    this.address = address;
  }

  /** @throws Error where Envoy does not answer, or not with 200 */
  async get(path: string): Promise<string> {
    const response = await fetch(`http://${this.address}${path}`, { signal: AbortSignal.timeout(REQUEST_MS) });
    const text = await response.text();
    if (!response.ok) throw new Error(`Envoy answers ${response.status} to ${path}: ${text.trim().slice(0, 200)}`);
    return text;
  }

  async post(path: string): Promise<void> {
    const signal = AbortSignal.timeout(REQUEST_MS);
    const response = await fetch(`http://${this.address}${path}`, { method: 'POST', signal });
    await response.arrayBuffer();
  }

  async isLive(): Promise<boolean> {
    return this.get('/ready').then(
      () => true,
      () => false,
    );
  }

  /** Counters and gauges by name. @param filter a regular expression in RE2's syntax */
  async numbers(filter?: string): Promise<Map<string, number>> {
    const query = filter === undefined ? '' : `?filter=${encodeURIComponent(filter)}`;
    const found = new Map<string, number>();
    for (const line of (await this.get(`/stats${query}`)).split('\n')) {
      const at = line.lastIndexOf(': ');
      const value = Number(line.slice(at + 2));
      if (at > 0 && line.length > at + 2 && Number.isFinite(value)) found.set(line.slice(0, at), value);
    }
    return found;
  }

  /** Of every subscription, by the name that its statistics begin with, as `listener_manager.lds`. */
  async updates(): Promise<Map<string, UpdateCounts>> {
    const all = await this.numbers('\\.update_(success|rejected)$');
    const found = new Map<string, UpdateCounts>();
    for (const name of all.keys()) {
      const of = name.slice(0, name.lastIndexOf('.'));
      const count = (suffix: string) => all.get(`${of}.${suffix}`) ?? 0;
      found.set(of, { taken: count('update_success'), refused: count('update_rejected') });
    }
    return found;
  }

  async listeners(): Promise<ListenerState[]> {
    const answer = JSON.parse(await this.get('/listeners?format=json')) as ListenersAnswer;
    return (answer.listener_statuses ?? []).map(({ name, local_address: { socket_address: at, pipe } }) => ({
      name,
      address: at?.address ?? pipe?.path ?? '',
      port: at?.port_value ?? 0,
    }));
  }

  /** Listeners whose last update was refused, and why. */
  async refusedListeners(): Promise<Map<string, string>> {
    const answer = JSON.parse(await this.get('/config_dump?resource=dynamic_listeners')) as DynamicListeners;
    const failed = (answer.configs ?? []).filter(({ error_state: error }) => error !== undefined);
    return new Map(failed.map(({ name = '', error_state: error }) => [name, error?.details ?? 'refused']));
  }
}
