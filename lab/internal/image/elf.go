package image

import (
	"debug/elf"
	"errors"
	"fmt"
)

// ErrDynamic is wrapped by [Build] for a program that needs a dynamic linker: an
// image made of it alone could never start.
var ErrDynamic = errors.New("linked dynamically; build it with CGO_ENABLED=0")

// architectures maps what an ELF header says to GOARCH, which is also how images
// name it.
var architectures = map[elf.Machine]string{
	elf.EM_X86_64:  "amd64",
	elf.EM_AARCH64: "arm64",
}

// architecture returns the one architecture that all programs are built for.
func architecture(programs []string) (string, error) {
	if len(programs) == 0 {
		return "", errors.New("an image needs at least one program")
	}
	var common string
	for _, program := range programs {
		arch, err := programArchitecture(program)
		if err != nil {
			return "", fmt.Errorf("reading program %s: %w", program, err)
		}
		if common != "" && arch != common {
			return "", fmt.Errorf("reading program %s: it is built for %s, another program of the image for %s", program, arch, common)
		}
		common = arch
	}
	return common, nil
}

func programArchitecture(program string) (string, error) {
	file, err := elf.Open(program)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return "", ErrDynamic
		}
	}
	arch, ok := architectures[file.Machine]
	if !ok {
		return "", fmt.Errorf("no image is made for %s", file.Machine)
	}
	return arch, nil
}
