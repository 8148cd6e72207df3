/** Rules of Events, after k8s.io/kubernetes pkg/apis/core/validation/events.go. */
import { labelKeyViolation } from '../../match/labels.ts';
import type { CoreEventBody, EventBody } from '../schema/events/event.ts';
import { Report } from '../violations.ts';

const MAX_NAME = 128;
const MAX_NOTE = 1024;

/** Names of the fields, which differ between the groups. */
interface Names {
  readonly object: 'involvedObject' | 'regarding';
  readonly message: 'message' | 'note';
  readonly controller: 'reportingComponent' | 'reportingController';
}
const CORE: Names = { object: 'involvedObject', message: 'message', controller: 'reportingComponent' };
const EVENTS: Names = { object: 'regarding', message: 'note', controller: 'reportingController' };

interface Placed {
  readonly metadata: { readonly namespace?: string | undefined };
}

export function checkCoreEvent(event: Placed & CoreEventBody) {
  const report = new Report();
  checkEvent(report, event, CORE);
  return report.findings;
}

/** Those of events.k8s.io have a time, a type and a controller, and nothing of the older form. */
export function checkNewEvent(event: Placed & EventBody) {
  const report = new Report();
  if (isDeprecated(event)) {
    // An event of core/v1 that was read in this form, and is written back.
    checkEvent(report, event, EVENTS);
    return report.findings;
  }
  if (!event.eventTime) report.violation('eventTime', 'required', 'is required');
  if (event.type !== 'Normal' && event.type !== 'Warning')
    report.violation('type', 'enum', `must be Normal or Warning, found ${JSON.stringify(event.type ?? '')}`);
  if (event.series && (event.series.count ?? 0) < 2)
    report.violation('series.count', 'event.series', 'must be at least 2: a series is of several events');
  checkEvent(report, event, EVENTS);
  return report.findings;
}

function isDeprecated({
  eventTime,
  deprecatedFirstTimestamp,
  deprecatedLastTimestamp,
  deprecatedCount,
}: EventBody): boolean {
  const older = deprecatedFirstTimestamp ?? deprecatedLastTimestamp ?? deprecatedCount;
  return !eventTime && older !== undefined && older !== 0;
}

type Fields = Placed & Record<string, unknown>;

function checkEvent(report: Report, event: Placed, names: Names): void {
  const { metadata, ...fields } = event as Fields;
  const text = (name: string) => String(fields[name] ?? '');
  const namespace = metadata.namespace ?? '';
  const about = (fields[names.object] ?? {}) as { namespace?: string };
  const mayBeCluster = fields['eventTime'] ? ['default', 'kube-system'] : ['default'];
  const agrees = about.namespace ? about.namespace === namespace : mayBeCluster.includes(namespace);
  // An event of the newer form may be about an object of another namespace.
  if (!agrees && !(fields['eventTime'] && about.namespace))
    report.violation(`${names.object}.namespace`, 'event.namespace', `must be metadata.namespace, "${namespace}"`);
  if (!fields['eventTime']) return;
  const controller = text(names.controller);
  if (controller === '') report.violation(names.controller, 'required', 'is required with eventTime');
  else if (labelKeyViolation(controller))
    report.violation(names.controller, 'event.controller', 'must be a qualified name, as example.com/controller');
  for (const name of ['reportingInstance', 'action', 'reason']) {
    if (text(name) === '') report.violation(name, 'required', 'is required with eventTime');
    if (text(name).length > MAX_NAME) report.violation(name, 'value', `must be at most ${MAX_NAME} characters long`);
  }
  if (text(names.message).length > MAX_NOTE)
    report.violation(names.message, 'value', `must be at most ${MAX_NOTE} characters long`);
}
