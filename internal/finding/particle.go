package finding

import (
	"strings"
	"unicode"
)

// particles are the Korean particles that differ by the sound before them: after a vowel, after a consonant.
// 로 follows the consonant ㄹ as it follows a vowel.
var particles = []struct{ vowel, consonant string }{{"를", "을"}, {"가", "이"}, {"는", "은"}, {"와", "과"}, {"로", "으로"}}

// endings are the sounds in which what stands before a particle ends, as far as its last letter tells: digits as
// they are read (0 영, 1 일, 3 삼, 6 육, 7 칠, 8 팔 end in a consonant), and the letters that are consonants in
// whatever word they end. Of other letters the word would have to be known.
var endings = map[rune]ending{
	'0': consonant, '1': liquid, '2': vowel, '3': consonant, '4': vowel, '5': vowel, '6': consonant, '7': liquid, '8': liquid, '9': vowel,
	'l': liquid, 'm': consonant, 'n': consonant,
}

type ending int

const (
	vowel ending = iota
	consonant
	// liquid is the consonant ㄹ.
	liquid
)

// agree puts the particles right that follow what was put into a Korean sentence: "w1를" is said "w1을". A
// sentence is written before it is known what will stand in it.
func agree(text string) string {
	var out strings.Builder
	changed := false
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		out.WriteRune(runes[i])
		end, known := endings[runes[i]]
		if !known {
			continue
		}
		for _, p := range particles {
			length := particleAt(runes[i+1:], p.consonant)
			if length == 0 {
				length = particleAt(runes[i+1:], p.vowel)
			}
			if length == 0 {
				continue
			}
			right := p.consonant
			if end == vowel || end == liquid && p.vowel == "로" {
				right = p.vowel
			}
			changed = changed || right != string(runes[i+1:i+1+length])
			out.WriteString(right)
			i += length
			break
		}
	}
	if !changed {
		return text
	}
	return out.String()
}

// particleAt is the length of a particle with which a text begins; zero where it begins otherwise, or where the
// word goes on, as in "2가지".
func particleAt(text []rune, particle string) int {
	p := []rune(particle)
	if len(text) < len(p) || string(text[:len(p)]) != particle || len(text) > len(p) && unicode.IsLetter(text[len(p)]) {
		return 0
	}
	return len(p)
}
