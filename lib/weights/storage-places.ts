/** Turns the tensors of a checkpoint, which are views of storages, into places in the file. */
import { seen } from '../errors.ts';
import { corruptFile, unreadableFormat } from './file-errors.ts';
import { elementCount, shapeText } from './shapes.ts';
import type { TensorRef } from './torch-objects.ts';
import type { TensorSource } from './types.ts';

/** Bytes of each storage in the file, by storage key. */
export type StoragePlaces = ReadonlyMap<string, { readonly offset: number; readonly bytes: number }>;

/**
 * The place of every tensor. Throws ERR_FILE_CORRUPT when a tensor leaves its storage, ERR_FILE_FORMAT when
 * its element type is not supported.
 */
export function placeTensors(
  file: string,
  tensors: ReadonlyMap<string, TensorRef>,
  places: StoragePlaces,
): Map<string, TensorSource> {
  return new Map(Array.from(tensors, ([name, tensor]) => [name, placeTensor(file, name, tensor, places)]));
}

function placeTensor(file: string, name: string, tensor: TensorRef, places: StoragePlaces): TensorSource {
  const { storage, type, offset, shape, strides } = tensor;
  const place = places.get(storage.key);
  if (place === undefined)
    throw corruptFile(file, `tensor ${seen(name)} lies in storage ${seen(storage.key)}, which is missing`);
  if (type.dtype === undefined) {
    throw unreadableFormat(
      file,
      `stores tensor ${seen(name)} as ${type.name}, which is not supported`,
      'Convert it to float16, bfloat16 or float32.',
      { tensor: name, dtype: type.name },
    );
  }
  const last = lastElement(shape, strides);
  if (elementCount(shape) === undefined || last === undefined) {
    throw corruptFile(file, `tensor ${seen(name)} has the impossible shape ${shapeText(shape)}`, {
      tensor: name,
    });
  }
  const end = (offset + last + 1) * type.bytes;
  if (last >= 0 && end > place.bytes) {
    throw corruptFile(file, `tensor ${seen(name)} needs ${end} bytes of a storage with ${place.bytes}`, {
      tensor: name,
    });
  }
  const source = { file, offset: place.offset + offset * type.bytes, dtype: type.dtype, shape };
  return isContiguous(shape, strides) ? source : { ...source, strides };
}

/** Index of the last element in the storage, from the tensor's first; -1 without elements. */
function lastElement(shape: readonly number[], strides: readonly number[]): number | undefined {
  if (shape.includes(0)) return -1;
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), 0);
  return Number.isSafeInteger(last) ? last : undefined;
}

/** Row-major without gaps. The stride of an axis of size 1 says nothing. */
function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    if (size !== 1 && strides[axis] !== expected) return false;
    expected *= size;
  }
  return true;
}
