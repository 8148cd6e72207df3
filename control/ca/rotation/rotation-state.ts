/**
 * What is known of a change of roots, in `rotation.json` of the authority's folder: written whole, so that a crash leaves one phase
 * or the next. Without the file the folder itself holds the only root.
 *
 * - `single`: one root, trusted and issuing.
 * - `announced`: a second root is trusted; the first one issues.
 * - `issuing`: the second root issues; the first one is trusted.
 */
import { join } from 'node:path';
import * as z from 'zod';
import { readIfPresent, writeDurably } from '../files.ts';

const FILE = 'rotation.json';
/** Folder of an authority within that of the first; `.` is the first itself. */
const Folder = z.string().regex(/^(\.|root-[1-9][0-9]{0,5})$/);
const Since = { since: z.number() };
const Stored = z.discriminatedUnion('phase', [
  z.strictObject({ version: z.literal(1), phase: z.literal('single'), folder: Folder, ...Since }),
  z.strictObject({
    version: z.literal(1),
    phase: z.literal('announced'),
    folder: Folder,
    next: Folder,
    /** The next root signed by the present one, and the other way round; PEM. */
    nextByPresent: z.string(),
    presentByNext: z.string(),
    ...Since,
  }),
  z.strictObject({
    version: z.literal(1),
    phase: z.literal('issuing'),
    folder: Folder,
    /** The authority that issued before, its root, and the new root signed by that; PEM. */
    before: Folder,
    oldRoot: z.string(),
    newByOld: z.string(),
    ...Since,
  }),
]);
type Written = z.infer<typeof Stored>;
/** `since`: milliseconds since the epoch. */
export type RotationState = Written extends infer Each ? (Each extends unknown ? Omit<Each, 'version'> : never) : never;

/** The step is not possible now; the message says why and what is. */
export class RotationError extends Error {
  override name = 'RotationError';
}

/** @param text undefined: there was no rotation @throws Error naming the place */
export function parseRotation(text: string | undefined, place: string): RotationState {
  if (text === undefined) return { phase: 'single', folder: '.', since: 0 };
  try {
    const { version: _, ...state } = Stored.parse(JSON.parse(text));
    return state;
  } catch {
    throw new Error(`${place} is not the state of a rotation: restore it from a backup`);
  }
}

export const rotationText = (state: RotationState): string => JSON.stringify({ version: 1, ...state });

/** @throws Error naming the file */
export async function readRotation(caFolder: string): Promise<RotationState> {
  const path = join(caFolder, FILE);
  return parseRotation(await readIfPresent(path), path);
}

export function writeRotation(caFolder: string, state: RotationState): Promise<void> {
  return writeDurably(join(caFolder, FILE), `${rotationText(state)}\n`);
}
