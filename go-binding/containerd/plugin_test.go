// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func TestConfigDefaults(t *testing.T) {
	config, err := decodeConfig(*defaultSection())
	if err != nil || config != defaultConfig() {
		t.Errorf("%+v, %v", config, err)
	}
}

func TestUnknownConfigKeyIsAnError(t *testing.T) {
	_, err := decodeConfig(map[string]any{"binary_nam": "crun"})
	if err == nil || !strings.Contains(err.Error(), "unknown key binary_nam") {
		t.Error(err)
	}
}

// What is installed as an example shows every key with its default.
func TestExampleConfigIsTheDefault(t *testing.T) {
	var file struct {
		Plugins map[string]map[string]any `toml:"plugins"`
	}
	text, err := os.ReadFile("dist/embedshim.toml")
	if err != nil {
		t.Fatal(err)
	}
	if err := toml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	section := file.Plugins[Name]
	config, err := decodeConfig(section)
	if err != nil || config != defaultConfig() {
		t.Errorf("%+v, %v", config, err)
	}
	if all := *defaultSection(); !reflect.DeepEqual(keys(all), keys(section)) {
		t.Errorf("the example has %v, the section %v", keys(section), keys(all))
	}
}

func keys(m map[string]any) map[string]bool {
	set := map[string]bool{}
	for k := range m {
		set[k] = true
	}
	return set
}
