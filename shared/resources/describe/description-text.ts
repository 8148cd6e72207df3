/** Descriptions in words, for `explain` and the pages of docs/resources. */
import type { Description, Limits, Shape } from './description.ts';

const INT32 = { min: -2147483648, max: 2147483647 };
const UINT32 = { min: 0, max: 4294967295 };

/** Documentation of a field with its default. */
export function documentation({ text, defaultsTo }: Description): string {
  return [text, ...(defaultsTo === undefined ? [] : [`Default: ${defaultsTo}.`])].filter(Boolean).join(' ');
}

/** What a value must be beside its type and its names, each as a sentence without its dot; not those of its fields. */
export function constraints(description: Description): string[] {
  const { shape, rules } = description;
  const own = [...limitsOf(shape), ...rules.map(({ at = [], says }) => [...at, says].join(' '))];
  if (shape.type === 'list') return [...own, ...constraints(shape.items).map((each) => `each entry: ${each}`)];
  if (shape.type === 'map') return [...own, ...constraints(shape.values).map((each) => `each value: ${each}`)];
  return own;
}

function limitsOf(shape: Shape): string[] {
  switch (shape.type) {
    case 'object':
      return shape.oneOfs.map((fields) => `only one of ${fields.join(', ')} may be set`);
    case 'list': {
      const unique = shape.unique ? [`no two entries have the same ${shape.keys.join(' and ')}`] : [];
      return [...counted(shape.length, 'entries'), ...unique];
    }
    case 'map':
      return counted(shape.entries, 'entries');
    case 'string':
      return stringLimits(shape);
    case 'integer':
    case 'number':
      return rangeOf(shape.range);
    default:
      return [];
  }
}

function stringLimits({ length, pattern, duration }: Extract<Shape, { type: 'string' }>): string[] {
  const least = duration?.min === undefined ? '' : ` of at least ${duration.min}ms`;
  return [
    ...(duration ? [`a duration${least}, as 1.5s or 1h30m`] : []),
    ...(length.min === 1 ? ['not empty'] : counted({ ...(length.min ? { min: length.min } : {}) }, 'characters')),
    ...counted({ ...(length.max ? { max: length.max } : {}) }, 'characters'),
    ...(pattern ? [`must match ${pattern.source}`] : []),
  ];
}

function counted({ min, max }: Limits, noun: string): string[] {
  const some = (count: number) =>
    `${count} ${count === 1 ? noun.replace(/(ie)?s$/, (end) => (end === 's' ? '' : 'y')) : noun}`;
  return [
    ...(min === undefined ? [] : [`at least ${some(min)}`]),
    ...(max === undefined ? [] : [`at most ${some(max)}`]),
  ];
}

/** Ranges that only say how a number is kept (int32, uint32, exact in JSON) are not worth a sentence. */
function rangeOf({ min, max }: Limits): string[] {
  if (min === UINT32.min && max === UINT32.max) return [];
  const kept = [INT32.max, UINT32.max, Number.MAX_SAFE_INTEGER];
  const low = min === undefined || min === INT32.min || min === Number.MIN_SAFE_INTEGER ? undefined : min;
  const high = max === undefined || kept.includes(max) ? undefined : max;
  if (low !== undefined && high !== undefined) return [`${low} to ${high}`];
  if (high !== undefined) return [`at most ${high}`];
  return low === undefined ? [] : [`at least ${low}`];
}
