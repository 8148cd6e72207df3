/** What `kubectl get events` prints, after printEvent of k8s.io/kubernetes pkg/printers/internalversion. */
import type { PrinterColumn } from '../../kind.ts';
import type { Resource } from '../../resource.ts';
import type { CoreEventBody } from '../../schema/events/event.ts';

type Event = Resource & CoreEventBody;

/** @param core an event in the form of core/v1 */
export function eventColumns(core: (event: Resource) => Resource): readonly PrinterColumn[] {
  const shown = (
    name: string,
    description: string,
    print: (event: Event) => string,
    more?: Partial<PrinterColumn>,
  ) => ({
    name,
    type: 'string' as const,
    jsonPath: '.metadata.name',
    description,
    print: (event: Resource) => print(core(event) as Event),
    ...more,
  });
  const wide = { priority: 1 };
  return [
    shown('Last Seen', 'When it was last seen', lastSeen, { isTime: true }),
    shown('Type', 'Normal or Warning', ({ type = '' }) => type),
    shown('Reason', 'Why, in one word', ({ reason = '' }) => reason),
    shown('Object', 'What it is about', ({ involvedObject: { kind = '', name = '' } }) =>
      name === '' ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`,
    ),
    shown('Subobject', 'Part of the object', ({ involvedObject }) => involvedObject.fieldPath ?? '', wide),
    shown('Source', 'What made the event', sourceText, wide),
    shown('Message', 'What happened', ({ message = '' }) => message.trim()),
    shown('First Seen', 'When it was first seen', firstSeen, { isTime: true, ...wide }),
    shown('Count', 'How often it was seen', ({ series, count }) => String(series?.count ?? (count || 1)), wide),
    shown('Name', 'Name of the event', ({ metadata }) => metadata.name, wide),
  ];
}

const firstSeen = ({ firstTimestamp, eventTime }: Event): string => firstTimestamp || eventTime || '';
const lastSeen = (event: Event): string => event.series?.lastObservedTime || event.lastTimestamp || firstSeen(event);

function sourceText({ source, reportingComponent = '', reportingInstance = '' }: Event): string {
  const { component, host } = source ?? {};
  if (component) return host ? `${component}, ${host}` : component;
  return reportingInstance ? `${reportingComponent}, ${reportingInstance}` : reportingComponent;
}
