/**
 * Which occurrences are one event, after client-go's EventCorrelator (k8s.io/client-go/tools/record/events_cache.go): the same
 * occurrence is counted; many that differ in their message alone become one; one object may cause so many in a time.
 */

export interface ObjectReference {
  readonly apiVersion?: string;
  readonly kind: string;
  /** '' or absent: the object has no namespace. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

/** Something that happened to an object. */
export interface Occurrence {
  readonly about: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  /** One word, upper camel case. */
  readonly reason: string;
  /** A sentence. No secrets. */
  readonly message: string;
}

/** An event as it is to be written. */
export interface Counted {
  readonly occurrence: Occurrence;
  count: number;
  /** Milliseconds since the epoch. */
  readonly first: number;
  last: number;
}

/** Longest message, as Kubernetes has it. */
const MAX_MESSAGE = 1024;
/** Events that differ in their message alone, in a time, before they become one. */
const MAX_SIMILAR = 10;
const SIMILAR_MS = 600_000;
/** Of one object: so many at once, and then one each time. */
const BURST = 25;
const REFILL_MS = 300_000;
/** Distinct events, groups of similar ones, and objects that are remembered. */
const REMEMBERED = 4096;

/** A map that forgets what was used least recently. */
class Recent<Value> {
  private readonly map = new Map<string, Value>();

  get(key: string): Value | undefined {
    const value = this.map.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  set(key: string, value: Value): void {
    this.map.delete(key);
    this.map.set(key, value);
    if (this.map.size > REMEMBERED) this.map.delete(this.map.keys().next().value!);
  }
}

export class EventCounter {
  private readonly counted = new Recent<Counted>();
  private readonly similar = new Recent<{ messages: Set<string>; until: number }>();
  private readonly budgets = new Recent<{ left: number; at: number }>();

  /**
   * @param now milliseconds since the epoch
   * @param ttlMs an event that was not seen for this long is another one, since the first may have gone
   * @returns the event that the occurrence counts for; undefined: its object has caused too many
   */
  take(occurrence: Occurrence, now: number, ttlMs: number): Counted | undefined {
    const { about, type, reason } = occurrence;
    const object = [about.kind, about.namespace ?? '', about.name, about.uid ?? ''].join(' ');
    const message = occurrence.message.slice(0, MAX_MESSAGE);
    const group = `${object} ${type} ${reason}`;
    const known = this.counted.get(`${group} ${message}`);
    if (!known || now - known.last > ttlMs) {
      const isCombined = this.isCombined(group, message, now);
      return this.counting(isCombined ? group : `${group} ${message}`, object, now, ttlMs, {
        ...occurrence,
        message: isCombined ? `(combined from similar events): ${message}`.slice(0, MAX_MESSAGE) : message,
      });
    }
    return this.counting(`${group} ${message}`, object, now, ttlMs, occurrence);
  }

  private counting(key: string, object: string, now: number, ttlMs: number, occurrence: Occurrence) {
    if (!this.mayCause(object, now)) return undefined;
    const known = this.counted.get(key);
    if (known && now - known.last <= ttlMs) {
      known.count += 1;
      known.last = now;
      return known;
    }
    const counted = { occurrence, count: 1, first: now, last: now };
    this.counted.set(key, counted);
    return counted;
  }

  private isCombined(group: string, message: string, now: number): boolean {
    let found = this.similar.get(group);
    if (!found || found.until < now)
      this.similar.set(group, (found = { messages: new Set(), until: now + SIMILAR_MS }));
    if (found.messages.size < MAX_SIMILAR) found.messages.add(message);
    return !found.messages.has(message);
  }

  private mayCause(object: string, now: number): boolean {
    const budget = this.budgets.get(object) ?? { left: BURST, at: now };
    const refilled = Math.floor((now - budget.at) / REFILL_MS);
    const left = Math.min(BURST, budget.left + refilled);
    const at = refilled > 0 ? budget.at + refilled * REFILL_MS : budget.at;
    this.budgets.set(object, { left: Math.max(0, left - 1), at: left === BURST ? now : at });
    return left > 0;
  }
}
