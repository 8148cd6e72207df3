/** The two forms of an Event: what one group calls `regarding`, the other calls `involvedObject`. */
import type { Resource } from '../../resource.ts';

/** Field of core/v1 -> field of events.k8s.io/v1. The other fields have one name. */
const NAMES: Readonly<Record<string, string>> = {
  involvedObject: 'regarding',
  message: 'note',
  source: 'deprecatedSource',
  firstTimestamp: 'deprecatedFirstTimestamp',
  lastTimestamp: 'deprecatedLastTimestamp',
  count: 'deprecatedCount',
  reportingComponent: 'reportingController',
};
const BACK = Object.fromEntries(Object.entries(NAMES).map(([core, events]) => [events, core]));

export const toEventsGroup = (event: Resource): Resource => renamed(event, NAMES, 'events.k8s.io/v1');
/** The form that is stored. `involvedObject` is required there. */
export const toCoreGroup = (event: Resource): Resource =>
  ({ involvedObject: {}, ...renamed(event, BACK, 'v1') }) as Resource;

function renamed(event: Resource, names: Readonly<Record<string, string>>, apiVersion: string): Resource {
  const fields = Object.entries(event).map(([name, value]) => [names[name] ?? name, value]);
  return { ...(Object.fromEntries(fields) as Resource), apiVersion };
}
